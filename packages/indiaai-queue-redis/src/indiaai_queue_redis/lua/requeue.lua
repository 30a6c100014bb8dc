-- Puts a failed or cancelled task back, as if it had just come, its attempts counted from 0.
-- ARGV: id. Returns 1 if it was done, 0 if it is in another state, -1 if there is none.
local id = ARGV[OWN]
if call('HEXISTS', TASKS, id) == 1 then return 0 end
local ended = call('GET', ENDED .. id)
if not ended then return -1 end
local state, head, data = match(ended, '^%["(%a+)"[^\n]*\n([^\n]*)\n[^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\n(.*)$')
if state ~= 'failed' and state ~= 'cancelled' then return 0 end
if max_tasks > 0 and call('HLEN', TASKS) >= max_tasks then return redis.error_reply('INDIAAIFULL ' .. max_tasks) end

call('HSET', TASKS, id, head .. '\n' .. data)
-- Another task may have its dedupe key by now, and keeps it.
local fields = fields_of(head)
if fields and type(fields[5]) == 'string' then call('HSETNX', DEDUPE, fields[5], id) end
call('ZREM', DEAD, id)
call('DEL', ENDED .. id)
enlist(id, priority_of(head), 'RPUSH')
wake()
return 1
