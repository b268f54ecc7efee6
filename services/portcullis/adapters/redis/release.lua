-- Gives the publisher's lease back, if the asker has it.
--
-- KEYS[1]  portcullis:lease: a string, the holder's name; it ends with its time to live
-- ARGV[1]  the holder that asks
--
-- Gives 1 when it was the asker's, 0 otherwise.

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
