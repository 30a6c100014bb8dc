-- Settles, renews or gives back deliveries, each under its lease.
-- ARGV: six for each: id, lease, verb, and what the verb takes. Everything kept is JSON.
--   complete result    fail error traceback    renew progress or ''    retry error traceback delay_ms    release
-- Returns 1 for each that was done, 0 for each that changed nothing.
local AFTER = { complete = 'completed', fail = 'failed', renew = 'processing', retry = 'pending', release = 'pending' }
local verbs = {}

function verbs.complete(id, key, head, result)
  call('ZREM', LEASES, id)
  call('HSET', key, 'state', 'completed', 'finished', now, 'result', result)
  call('HDEL', key, 'error', 'traceback')
  free_dedupe(id, head)
  call('DEL', task_key(id)) -- what it was asked to do is of no more use; what came of it is kept
  keep(id)
end

function verbs.fail(id, _, head, failure, traceback) bury(id, head, failure, traceback) end

function verbs.renew(id, key, _, progress)
  call('ZADD', LEASES, now + lease_ms, id)
  if progress ~= '' then call('HSET', key, 'progress', progress) end
end

-- I1: off the lease and onto the list or the clock in one step. Were they two, a worker killed in between would leave
-- a task that nobody holds and nobody is given.
function verbs.retry(id, key, head, failure, traceback, delay_ms)
  call('ZREM', LEASES, id)
  call('HSET', key, 'state', 'pending', 'error', failure, 'traceback', traceback)
  if tonumber(delay_ms) > 0 then
    delay(id, now + tonumber(delay_ms))
  else
    enlist(id, priority_of(head), 'RPUSH') -- to the back: a task that fails at once must not keep the others waiting
  end
end

function verbs.release(id, key, head)
  call('ZREM', LEASES, id)
  call('HSET', key, 'state', 'pending')
  call('HINCRBY', key, 'attempts', -1)
  enlist(id, priority_of(head), 'LPUSH')
end

allow_when_full()
local reply = {}
for i = OWN, #ARGV, 6 do
  local id, lease, verb = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local held = call('HMGET', state_key(id), 'state', 'lease', 'head')
  -- I3: the state alone would not do. Worker A hangs, its lease runs out, B gets the task and is at work (processing
  -- again); A wakes up and reports: by the state it would settle B's delivery.
  local is_ours = held[2] == lease
  if is_ours and held[1] == 'processing' then
    verbs[verb](id, state_key(id), held[3], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
    reply[#reply + 1] = 1
  else
    -- Sent again because the reply was lost: if it took effect the first time, it was done.
    reply[#reply + 1] = is_ours and is_resent and held[1] == AFTER[verb] and 1 or 0
  end
end
if has_pending() then wake() end
return reply
