-- Leases the tasks that are next, after those whose lease ran out and those whose time has come were put back.
-- ARGV: the most tasks (0: only puts back, and wakes one who waits if there is something), token of this call, attempts
-- where a task does not say; then the tokens of calls whose reply never arrived.
-- Returns: now, milliseconds until there may be more (0: there is, -1: nothing is foreseen), then three lists, for each task
-- its id, attempt and record. The lease of the n-th is the token, a point and n.
local limit, token, default_attempts = tonumber(ARGV[OWN]), ARGV[OWN + 1], tonumber(ARGV[OWN + 2])
local lost = {}
for i = OWN + 3, #ARGV do lost[ARGV[i]] = true end
if is_resent then lost[token] = true end
local SWEEP = 100 -- so that a thousand dead workers' tasks do not hold up the server, and each call does its share

allow_when_full()
local ids, attempts, records, runs, leased = {}, {}, {}, {}, {}

-- I3: from here on the lease of the delivery before opens nothing. Its worker may still be at work; whatever it
-- reports names another lease and changes nothing.
local function deliver(batch, is_again)
  local found, held = call('HMGET', TASKS, unpack(batch)), call('HMGET', RUNS, unpack(batch))
  for i, id in ipairs(batch) do
    if found[i] then
      local attempt, head, rest, _ = 0, nil, '', nil
      if held[i] then _, attempt, _, _, head, rest = parse(held[i]) end
      if not is_again then attempt = attempt + 1 end
      local n = #ids + 1
      ids[n], attempts[n], records[n] = id, tonumber(attempt), found[i]
      runs[2 * n - 1] = id
      runs[2 * n] = compose('processing', attempt, now, token .. '.' .. n, head or head_in(found[i]), rest)
      leased[2 * n - 1] = now + lease_ms
      leased[2 * n] = id
    else
      call('HDEL', RUNS, id) -- evicted by the server: nothing is left that could be run
      call('ZREM', LEASES, id)
    end
  end
end

-- A delivery whose reply was lost (the connection broke, the caller was cancelled) is delivered again to the one who
-- was to have it, as the same attempt; nobody else knows its token. Its lease is among the latest.
if next(lost) and limit > 0 then
  local latest, again = call('ZREVRANGE', LEASES, 0, 999), {}
  local held = #latest > 0 and call('HMGET', RUNS, unpack(latest)) or {}
  for i, id in ipairs(latest) do
    local lease = held[i] and match(held[i], '^%["processing",%d+,%d+,"([^."]*)')
    if lease and lost[lease] and #again < limit then again[#again + 1] = id end
  end
  if #again > 0 then deliver(again, true) end
  if #leased > 0 then call('ZADD', LEASES, unpack(leased)) end -- else it might have run out this very moment
end
local recovered = #ids

-- Those whose worker is taken for dead go to the front, the one that expired first foremost. The lease is dropped in the
-- same script that lists the task (I1): a worker that dies between the two cannot leave it in neither.
local expired = call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, SWEEP)
for i = #expired, 1, -1 do
  local id = expired[i]
  local run = call('HGET', RUNS, id) or compose('processing', 0, 'null', '', head_in(call('HGET', TASKS, id) or ''), '')
  local _, attempt, started, lease, head, rest = parse(run)
  local fields = fields_of(head)
  local most = fields and type(fields[4]) == 'number' and fields[4] or default_attempts
  local failure = '"the lease ran out at attempt ' .. attempt .. ' of ' .. most .. ': the worker died or hung"'
  rest = '\n' .. progress_in(rest) .. '\n' .. failure .. '\n'
  if tonumber(attempt) >= most then
    bury(id, attempt, started, lease, head, rest)
    make_room()
  else
    call('ZREM', LEASES, id)
    call('HSET', RUNS, id, compose('pending', attempt, started, lease, head, rest))
    enlist(id, priority_of(head), 'LPUSH')
  end
end

local due = call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, SWEEP)
if #due > 0 then
  call('ZREM', DELAYED, unpack(due))
  for i, record in ipairs(call('HMGET', TASKS, unpack(due))) do
    enlist(due[i], priority_of(record and head_in(record) or ''), 'RPUSH')
  end
end

for _, priority in ipairs(limit > recovered and call('ZREVRANGE', PRIORITIES, 0, -1) or {}) do
  while #ids < limit do
    local batch = call('LPOP', PENDING .. priority, limit - #ids)
    if not batch or #batch == 0 then break end
    deliver(batch, false)
  end
  forget_if_empty(priority)
  if #ids >= limit then break end
end
if #ids > 0 then
  call('ZADD', LEASES, unpack(leased))
  call('HSET', RUNS, unpack(runs))
end

-- I4: this worker may have been woken by the token, and taken it away. Were it not put back while tasks are left, another
-- would sleep on beside them.
local ahead = -1
if has_pending() then
  wake()
  ahead = 0
else
  call('DEL', WAKE)
  for _, key in ipairs({ DELAYED, LEASES }) do
    local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    local left = first and math.max(tonumber(first) - now, 0)
    if left and (ahead < 0 or left < ahead) then ahead = left end
  end
end
if #expired == SWEEP or #due == SWEEP then ahead = 0 end
return { now, ahead, ids, attempts, records }
