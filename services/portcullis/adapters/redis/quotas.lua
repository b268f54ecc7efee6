#!lua flags=allow-oom
-- One turn of one gateway worker at the exchange of quotas: takes what it tells of each partner, and gives what all have told.
--
-- KEYS[1]    portcullis:quotas:asked: a hash; the field is a worker's name, the value a JSON array of when it told (this
--            server's clock, milliseconds) and an object: the partner's name to an array of checks and events a second
-- KEYS[2]    portcullis:quotas:labels:DAY: a hash; the field is a partner's name, a space and a worker's name, the value how
--            many labels that worker has shown on the day
-- KEYS[3..]  portcullis:quotas:subjects:DAY:DEPTH:PARTNER, one for each partner told of, in order: a HyperLogLog of the names
--            of the subjects asked about on the day
-- ARGV[1]    the worker
-- ARGV[2]    a JSON array, for each partner: its name, checks a second, events a second, labels
-- ARGV[3]    how long a silent worker is remembered, milliseconds
-- ARGV[4]    how long a day's counts are kept, seconds
-- ARGV[5..]  for each partner the names to add, of 8 bytes each, in one string
--
-- A store that is full must still take it: it is little, and ends by itself.
--
-- Gives a JSON array: the number of workers, then for each partner checks and events a second, labels, subjects.

local NAME = 8
local AT_ONCE = 4000
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
  end
  return row
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local told = cjson.decode(ARGV[2])

local own = {}
for _, use in ipairs(told) do
  own[use[1]] = {use[2], use[3]}
  if use[4] > 0 then
    redis.call('HSET', KEYS[2], use[1] .. ' ' .. ARGV[1], use[4])
  end
end
local asked = next(own) and cjson.encode(own) or '{}'
redis.call('HSET', KEYS[1], ARGV[1], '[' .. now .. ',' .. asked .. ']')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])

local workers, checks, events, labels = 0, {}, {}, {}
local rows = redis.call('HGETALL', KEYS[1])
for place = 1, #rows, 2 do
  local row = read_row(rows[place + 1])
  if row and math.abs(now - row[1]) < tonumber(ARGV[3]) then
    workers = workers + 1
    for partner, wanted in pairs(row[2]) do
      checks[partner] = (checks[partner] or 0) + wanted[1]
      events[partner] = (events[partner] or 0) + wanted[2]
    end
  else
    redis.call('HDEL', KEYS[1], rows[place])
  end
end

rows = redis.call('HGETALL', KEYS[2])
for place = 1, #rows, 2 do
  local partner, count = string.match(rows[place], '^(%S+) '), sane(rows[place + 1])
  if partner and count then
    labels[partner] = (labels[partner] or 0) + math.floor(count)
  end
end

local answer = {workers}
for number, use in ipairs(told) do
  local key, names = KEYS[2 + number], ARGV[4 + number]
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
  answer[#answer + 1] = {checks[use[1]], events[use[1]], labels[use[1]] or 0, redis.call('PFCOUNT', key)}
end
return cjson.encode(answer)
