#!lua flags=allow-oom
-- Gives what every host's follower has said last, and forgets those that have been silent for too long.
--
-- KEYS[1]  portcullis:acknowledged: a hash, as acknowledge.lua keeps it
-- ARGV[1]  how long a silent host is remembered, seconds
--
-- Gives host, value, host, value ... in no order. One that speaks up in the meantime is not forgotten: nothing else runs
-- while this does.

local now, said, kept = tonumber(redis.call('TIME')[1]), redis.call('HGETALL', KEYS[1]), {}
for place = 1, #said, 2 do
  local at = tonumber(string.match(said[place + 1], '(%d+)$'))
  if at and now - at < tonumber(ARGV[1]) then
    kept[#kept + 1] = said[place]
    kept[#kept + 1] = said[place + 1]
  else
    redis.call('HDEL', KEYS[1], said[place])
  end
end
return kept
