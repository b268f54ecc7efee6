#!lua flags=allow-oom
-- Takes the publisher's lease, or prolongs it for whoever has it.
--
-- KEYS[1]  portcullis:lease: a string, the holder's name; it ends with its time to live
-- ARGV[1]  the holder that asks
-- ARGV[2]  the time to live from now, milliseconds
--
-- A store that is full must still give it: who has it clears the store.
--
-- Gives 1 when the lease is the asker's now, 0 while it is another's.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
