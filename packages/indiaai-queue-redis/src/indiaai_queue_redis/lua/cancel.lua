-- Ends a task that is pending or processing.
-- ARGV: id. Returns 1 if it was done, 0 if it had come to an end, -1 if there is none.
local id = ARGV[OWN]
local head = head_of(id)
if not head then return -1 end
local state = call('HGET', state_key(id), 'state') or 'pending'
if state ~= 'pending' and state ~= 'processing' then return 0 end

-- One of the three has it (I1). Taking its lease is enough to stop a worker: its next renewal says that it is gone.
if call('ZREM', LEASES, id) == 0 and call('ZREM', DELAYED, id) == 0 then
  local priority = priority_of(head)
  call('LREM', PENDING .. priority, 1, id) -- walks the list: about 15 ms for a million tasks
  forget_if_empty(priority)
end
call('HSET', state_key(id), 'state', 'cancelled', 'head', head, 'finished', now)
free_dedupe(id, head)
keep(id)
return 1
