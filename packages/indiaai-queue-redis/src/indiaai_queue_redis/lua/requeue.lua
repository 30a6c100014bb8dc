-- Puts a failed or cancelled task back, as if it had just come, its attempts counted from 0.
-- ARGV: id. Returns 1 if it was done, 0 if it is in another state, -1 if there is none.
local id = ARGV[OWN]
local head = head_of(id)
if not head then return -1 end
local state = call('HGET', state_key(id), 'state')
if state ~= 'failed' and state ~= 'cancelled' then return 0 end
if call('EXISTS', task_key(id)) == 0 then return -1 end -- its record expired a moment before its state (I2)

-- Another task may have its dedupe key by now, and keeps it.
local dedupe = dedupe_of(head)
if dedupe then call('HSETNX', DEDUPE, dedupe, id) end
call('ZREM', DEAD, id)
call('PERSIST', task_key(id))
call('DEL', state_key(id))
call('HSET', state_key(id), 'state', 'pending', 'head', head)
enlist(id, priority_of(head), 'RPUSH')
wake()
return 1
