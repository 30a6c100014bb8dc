-- Settles, renews or gives back deliveries, each under its lease.
-- ARGV: three for each: id, lease, and the verb with what it takes, a line for each. Everything kept is JSON.
--   complete result    fail error traceback    renew [progress]    retry error traceback delay_ms    release
-- Returns 1 for each that was done, 0 for each that changed nothing.
local AFTER = { complete = 'completed', fail = 'failed', renew = 'processing', retry = 'pending', release = 'pending' }
local verbs, gone, renewed = {}, {}, {}

function verbs.complete(id, run, result)
  -- What it was asked to do is of no more use; what came of it is kept.
  if keep_ms > 0 then
    local rest = run.rest ~= '' and '\n' .. progress_in(run.rest) .. '\n\n' or ''
    local text = compose_end('completed', run.attempts, run.started, run.lease, run.head, rest, result)
    call('SET', ENDED .. id, text, 'PX', keep_ms)
  end
  gone[#gone + 1] = id
  free_dedupe(id, run.head)
end

function verbs.fail(id, run, told)
  local failure, traceback = match(told, '^([^\n]*)\n([^\n]*)$')
  local rest = '\n' .. progress_in(run.rest) .. '\n' .. failure .. '\n' .. traceback
  bury(id, run.attempts, run.started, run.lease, run.head, rest)
end

function verbs.renew(id, run, progress)
  renewed[id] = true
  if progress ~= '' then
    run.rest = '\n' .. progress .. (match(run.rest, '^\n[^\n]*(.*)$') or '\n\n')
    call('HSET', RUNS, id, compose('processing', run.attempts, run.started, run.lease, run.head, run.rest))
  end
end

-- I1: off the lease and onto the list or the clock in one step. Were they two, a worker killed in between would leave
-- a task that nobody holds and nobody is given.
function verbs.retry(id, run, told)
  local failure, traceback, delay_ms = match(told, '^([^\n]*)\n([^\n]*)\n(%d+)$')
  local rest = '\n' .. progress_in(run.rest) .. '\n' .. failure .. '\n' .. traceback
  call('ZREM', LEASES, id)
  call('HSET', RUNS, id, compose('pending', run.attempts, run.started, run.lease, run.head, rest))
  if tonumber(delay_ms) > 0 then
    delay(id, now + tonumber(delay_ms))
  else
    enlist(id, priority_of(run.head), 'RPUSH') -- to the back: a task that fails at once must not keep the others waiting
  end
end

function verbs.release(id, run)
  call('ZREM', LEASES, id)
  call('HSET', RUNS, id, compose('pending', run.attempts - 1, run.started, run.lease, run.head, run.rest))
  enlist(id, priority_of(run.head), 'LPUSH')
end

-- Sent again because the reply was lost: if it took effect the first time, it was done.
local function was_done(id, run, lease, verb)
  local state, held = run and run.state, run and run.lease
  if not run then state, held = match(call('GET', ENDED .. id) or '', '^%["(%a+)",%d+,%w+,"([^"]*)"') end
  return held == lease and state == AFTER[verb]
end

local function take_apart(text)
  local state, attempts, started, lease, head, rest = parse(text)
  return { state = state, attempts = attempts, started = started, lease = lease, head = head, rest = rest }
end

-- Nearly all complete, and most have a plain head, and neither progress nor error: one look tells, and nothing is taken apart.
-- Returns what is kept of it then.
local function completed(text, lease, order)
  local counts, held, head = match(text, '^%["processing",(%d+,%d+),"([^"]*)"%]\n(%[%d+,"[^"\\]*"%])$')
  if held ~= lease then return nil end
  return '["completed",' .. counts .. ',"' .. lease .. '",' .. now .. ']\n' .. head .. '\n\n\n\n' .. string.sub(order, 10)
end

allow_when_full()
local ids, reply, runs = {}, {}, {}
for i = OWN, #ARGV, 3 do ids[#ids + 1] = ARGV[i] end
local texts = call('HMGET', RUNS, unpack(ids))
for n, id in ipairs(ids) do
  local lease, order = ARGV[OWN + 3 * n - 2], ARGV[OWN + 3 * n - 1]
  local verb = match(order, '^%a+')
  local run, ended = runs[id], nil
  if not run and texts[n] then
    ended = verb == 'complete' and keep_ms > 0 and completed(texts[n], lease, order)
    run = ended and { state = 'processing', lease = lease } or take_apart(texts[n])
    runs[id] = run
  end
  -- I3: the state alone would not do. Worker A hangs, its lease runs out, B gets the task and is at work (processing
  -- again); A wakes up and reports: by the state it would settle B's delivery.
  if run and run.lease == lease and run.state == 'processing' then
    if ended then
      call('SET', ENDED .. id, ended, 'PX', ARGV[3])
      gone[#gone + 1] = id
    else
      verbs[verb](id, run, string.sub(order, #verb + 2))
    end
    if verb ~= 'renew' then
      run.state = AFTER[verb] -- another call of this batch may name the same lease, and comes too late
      renewed[id] = nil
    end
    reply[n] = 1
  else
    reply[n] = is_resent and was_done(id, run, lease, verb) and 1 or 0
  end
end

if #gone > 0 then
  call('ZREM', LEASES, unpack(gone))
  call('HDEL', TASKS, unpack(gone))
  call('HDEL', RUNS, unpack(gone))
end
local leases = {}
for id in pairs(renewed) do
  leases[#leases + 1] = now + lease_ms
  leases[#leases + 1] = id
end
if #leases > 0 then call('ZADD', LEASES, unpack(leases)) end
if has_pending() then wake() end
make_room()
return reply
