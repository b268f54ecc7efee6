#!lua flags=allow-oom
-- One turn of one gateway worker at the exchange of quotas: takes what it tells of each partner, and gives what all have told.
--
-- KEYS[1]    portcullis:quotas:asked: a hash; the field is a worker's name, the value a JSON array of when it told (this
--            server's clock, milliseconds) and an object: the partner's name to an array of checks and events a second,
--            calls under way and streams open
-- KEYS[2]    portcullis:quotas:labels:DAY: a hash; the field is a partner's name, a space and a worker's name, the value how
--            many labels that worker has shown on the day
-- KEYS[3]    portcullis:quotas:counted:DAY: a hash; the field is a partner's name, the value a JSON array: what the watches for
--            probing of all workers have counted
-- KEYS[4..]  for each partner told of, in order, five keys:
--            portcullis:quotas:subjects:DAY:DEPTH:PARTNER: a HyperLogLog of the names of the subjects asked about on the day
--            portcullis:quotas:young:DAY:PARTNER and :old:DAY:PARTNER: sets of the names that are not new to all
--            portcullis:quotas:cells:DAY:PARTNER: a set of the cells of the pool of subjects that were new to all
--            portcullis:quotas:pool:DAY:PARTNER: a JSON array: how many the pool has, how many were found, cells of each size
-- ARGV[1]    the worker
-- ARGV[2]    a JSON array, for each partner: its name, checks a second, events a second, labels, and an array of
--            what its watch has counted since the last turn, calls under way, streams open
-- ARGV[3]    how long a silent worker is remembered, milliseconds
-- ARGV[4]    how long a day's counts are kept, seconds
-- ARGV[5]    how many names make a generation of those that are remembered
-- ARGV[6]    how many subjects make a pool
-- ARGV[7..]  for each partner two strings: the names to add, of 8 bytes each; and subjects that were new to the worker, of 33
--            bytes each: the name, the names of three cells, and whether it was found ("1" or "0")
--
-- A store that is full must still take it: it is little, and ends by itself.
--
-- Gives a JSON array: the number of workers, then for each partner checks and events a second, labels, subjects, what was
-- counted, calls, streams.

local NAME = 8
local AT_ONCE = 4000
local LOAD = 4
local FRESH = 4 * NAME + 1
local MOST = 1e12

-- What others have written may be anything: a number that is none, or beyond all sense, must not end the turn for everybody.
local function sane(value)
  local number = tonumber(value)
  return number and number >= 0 and number <= MOST and number or nil
end

local function read_row(text)
  local read, row = pcall(cjson.decode, text)
  if not (read and type(row) == 'table' and type(row[1]) == 'number' and type(row[2]) == 'table') then
    return nil
  end
  for _, wanted in pairs(row[2]) do
    if not (type(wanted) == 'table' and sane(wanted[1]) and sane(wanted[2])) then
      return nil
    end
    for place = 3, LOAD do
      -- A worker of an earlier release tells no more than two.
      wanted[place] = sane(wanted[place] or 0)
      if not wanted[place] then
        return nil
      end
    end
  end
  return row
end

local function read_pool(key)
  local read, pool = pcall(cjson.decode, redis.call('GET', key) or '')
  for place = 1, 5 do
    if not (read and type(pool) == 'table' and sane(pool[place])) then
      return {0, 0, 0, 0, 0}
    end
  end
  return pool
end

-- Adds subjects to a pool; gives what the pools say that became full: crowded in cells of each size, found, of how many.
local function take_fresh(young, old, cells, pooled, fresh)
  local full, most = {0, 0, 0, 0, 0}, tonumber(ARGV[6])
  if #fresh == 0 then
    return full
  end
  local pool, remembered = read_pool(pooled), redis.call('SCARD', young)
  for place = 1, #fresh, FRESH do
    local name = string.sub(fresh, place, place + NAME - 1)
    if remembered >= tonumber(ARGV[5]) then
      redis.call('RENAME', young, old)
      remembered = 0
    end
    local added = redis.call('SADD', young, name)
    remembered = remembered + added
    if added == 1 and redis.call('SISMEMBER', old, name) == 0 then
      pool[1] = pool[1] + 1
      pool[2] = pool[2] + tonumber(string.sub(fresh, place + FRESH - 1, place + FRESH - 1))
      for size = 1, 3 do
        local begin = place + size * NAME
        pool[2 + size] = pool[2 + size] + redis.call('SADD', cells, size .. string.sub(fresh, begin, begin + NAME - 1))
      end
      if pool[1] >= most then
        for size = 1, 3 do
          full[size] = full[size] + math.max(pool[1] - pool[2 + size], 0)
        end
        full[4], full[5] = full[4] + pool[2], full[5] + pool[1]
        pool = {0, 0, 0, 0, 0}
        redis.call('DEL', cells)
      end
    end
  end
  redis.call('SET', pooled, cjson.encode(pool))
  for _, key in ipairs({young, old, cells, pooled}) do
    redis.call('EXPIRE', key, ARGV[4])
  end
  return full
end

-- Adds what was counted to what all have; whatever else stands there is not carried on.
local function sum_up(partner, fresh)
  local read, before = pcall(cjson.decode, redis.call('HGET', KEYS[3], partner) or '')
  local sums, any = {}, false
  for place, count in ipairs(fresh) do
    local known = read and type(before) == 'table' and sane(before[place]) or 0
    sums[place] = math.min(math.floor(known + count), MOST)
    any = any or count > 0
  end
  if any then
    redis.call('HSET', KEYS[3], partner, cjson.encode(sums))
  end
  return sums
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local told = cjson.decode(ARGV[2])

local own = {}
for _, use in ipairs(told) do
  own[use[1]] = {use[2], use[3], use[6], use[7]}
  if use[4] > 0 then
    redis.call('HSET', KEYS[2], use[1] .. ' ' .. ARGV[1], use[4])
  end
end
local asked = next(own) and cjson.encode(own) or '{}'
redis.call('HSET', KEYS[1], ARGV[1], '[' .. now .. ',' .. asked .. ']')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('EXPIRE', KEYS[3], ARGV[4])

local workers, loads, labels = 0, {}, {}
local rows = redis.call('HGETALL', KEYS[1])
for place = 1, #rows, 2 do
  local row = read_row(rows[place + 1])
  if row and math.abs(now - row[1]) < tonumber(ARGV[3]) then
    workers = workers + 1
    for partner, wanted in pairs(row[2]) do
      local load = loads[partner] or {0, 0, 0, 0}
      for place = 1, LOAD do
        load[place] = load[place] + wanted[place]
      end
      loads[partner] = load
    end
  else
    redis.call('HDEL', KEYS[1], rows[place])
  end
end

rows = redis.call('HGETALL', KEYS[2])
for place = 1, #rows, 2 do
  local partner, count = string.match(rows[place], '^(%S+) '), sane(rows[place + 1])
  if partner and count then
    labels[partner] = math.min((labels[partner] or 0) + math.floor(count), MOST)
  end
end

local answer = {workers}
for number, use in ipairs(told) do
  local key, names = KEYS[5 * number - 1], ARGV[2 * number + 5]
  local fresh = {}
  for place = 1, #names, NAME do
    fresh[#fresh + 1] = string.sub(names, place, place + NAME - 1)
    if #fresh == AT_ONCE then
      redis.call('PFADD', key, unpack(fresh))
      fresh = {}
    end
  end
  if #fresh > 0 then
    redis.call('PFADD', key, unpack(fresh))
    redis.call('EXPIRE', key, ARGV[4])
  end
  local counted = use[5]
  local young, old, cells, pooled = KEYS[5 * number], KEYS[5 * number + 1], KEYS[5 * number + 2], KEYS[5 * number + 3]
  for place, count in ipairs(take_fresh(young, old, cells, pooled, ARGV[2 * number + 6])) do
    counted[place] = counted[place] + count
  end
  answer[#answer + 1] = {
    loads[use[1]][1],
    loads[use[1]][2],
    labels[use[1]] or 0,
    redis.call('PFCOUNT', key),
    sum_up(use[1], counted),
    math.floor(loads[use[1]][3]),
    math.floor(loads[use[1]][4]),
  }
end
return cjson.encode(answer)
