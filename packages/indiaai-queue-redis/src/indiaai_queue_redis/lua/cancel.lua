-- Ends a task that is pending or processing.
-- ARGV: id. Returns 1 if it was done, 0 if it had come to an end, -1 if there is none.
local id = ARGV[OWN]
local record = call('HGET', TASKS, id)
if not record then return call('EXISTS', ENDED .. id) - 1 end
local run = call('HGET', RUNS, id) or compose('pending', 0, 'null', '', head_in(record), '')
local _, attempts, started, lease, head, rest = parse(run)

-- One of the three has it (I1). Taking its lease is enough to stop a worker: its next renewal says that it is gone.
if call('ZREM', LEASES, id) == 0 and call('ZREM', DELAYED, id) == 0 then
  local priority = priority_of(head)
  call('LREM', PENDING .. priority, 1, id) -- walks the list: about 15 ms for a million tasks
  forget_if_empty(priority)
end
-- The write that may take memory comes after one that does not: it is not refused then.
if keep_ms > 0 then
  local text = compose_end('cancelled', attempts, started, lease, head, rest, '\n' .. data_of(id))
  call('SET', ENDED .. id, text, 'PX', keep_ms)
end
forget(id)
free_dedupe(id, head)
make_room()
return 1
