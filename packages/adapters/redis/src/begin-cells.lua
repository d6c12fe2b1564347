-- Begins to look at cells: notes which, in a key that goes away by itself.
--   KEYS[1] scratch
--   ARGV[1] how long it stays without use, ms   ARGV[2 …] cells that rows have to be in; none for all
-- Returns 'begun'.
redis.call('HSET', KEYS[1], '', #ARGV > 1 and 'some' or 'all')
for at = 2, #ARGV do redis.call('HSET', KEYS[1], 'in ' .. ARGV[at], '') end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 'begun'
