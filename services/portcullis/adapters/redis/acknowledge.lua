#!lua flags=allow-oom
-- Keeps what a host's follower says it serves.
--
-- KEYS[1]  portcullis:acknowledged: a hash; the field is a host's name, the value what it said, a space, and when that
--          came by this server's clock, Unix seconds
-- ARGV[1]  the host
-- ARGV[2]  what it says
--
-- A store that is full must still take it: it replaces what the host said before.

redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. redis.call('TIME')[1])
return 1
