-- Proves that the server takes writes, and leaves nothing behind.
-- Returns version, bound of memory and what is done at the bound; each '' if the server does not tell us.
allow_when_full()
local function told(section, name)
  local info = redis.pcall('INFO', section) -- a user may lack the right to it
  return type(info) == 'string' and string.match(info, name .. ':(%S+)') or ''
end
return { told('server', 'redis_version'), told('memory', 'maxmemory'), told('memory', 'maxmemory_policy') }
