-- Which version readers are shown, and what it was switched to by somebody who did not come to show it.
--   KEYS[1] key with the number of a version
-- Returns {its number, or ''}.
return { redis.call('GET', KEYS[1]) or '' }
