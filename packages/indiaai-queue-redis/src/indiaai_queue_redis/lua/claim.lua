-- Leases the tasks that are next, after those whose lease ran out and those whose time has come were put back.
-- ARGV: the most tasks, token of this call, attempts where a task does not say; then the tokens of calls whose
-- reply never arrived.
-- Returns: now, milliseconds until there may be more (-1: nothing is foreseen), then for each task its id, attempt, record and lease.
local limit, token, default_attempts = tonumber(ARGV[OWN]), ARGV[OWN + 1], tonumber(ARGV[OWN + 2])
local lost = {}
for i = OWN + 3, #ARGV do lost[ARGV[i]] = true end
if is_resent then lost[token] = true end
local SWEEP = 100 -- so that a thousand dead workers' tasks do not hold up the server, and each call does its share

allow_when_full()
local reply, leased = { now, -1 }, {}

local function deliver(id, is_again)
  local record = call('GET', task_key(id))
  if not record then -- evicted by the server: nothing is left that could be run
    forget(id)
    return
  end
  -- I3: from here on the lease of the delivery before opens nothing. Its worker may still be at work; whatever it
  -- reports names another lease and changes nothing.
  local lease = token .. '.' .. #reply
  local attempt = call('HINCRBY', state_key(id), 'attempts', is_again and 0 or 1)
  local head = string.match(record, '^[^\n]*')
  call('HSET', state_key(id), 'head', head, 'state', 'processing', 'lease', lease, 'started', now)
  leased[#leased + 1] = now + lease_ms
  leased[#leased + 1] = id
  reply[#reply + 1] = { id, attempt, record, lease }
end

-- A delivery whose reply was lost (the connection broke, the caller was cancelled) is delivered again to the one who
-- was to have it, as the same attempt; nobody else knows its token. Its lease is among the latest.
if next(lost) then
  for _, id in ipairs(call('ZREVRANGE', LEASES, 0, 999)) do
    local held = call('HMGET', state_key(id), 'state', 'lease')
    if #leased / 2 < limit and held[1] == 'processing' and lost[string.match(held[2], '^%x+')] then deliver(id, true) end
  end
end
if #leased > 0 then call('ZADD', LEASES, unpack(leased)) end
local recovered = #leased / 2

-- Those whose worker is taken for dead go to the front, the one that expired first foremost. The lease is dropped in the
-- same script that lists the task (I1): a worker that dies between the two cannot leave it in neither.
local expired = call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, SWEEP)
for i = #expired, 1, -1 do
  local id = expired[i]
  local held = call('HMGET', state_key(id), 'head', 'attempts')
  local head, attempts = held[1] or head_of(id), tonumber(held[2]) or 0
  local most = tonumber(string.match(head or '', '^%[%d+,%-?%d+,(%d+),')) or default_attempts
  if attempts >= most then
    bury(id, head, '"the lease ran out at attempt ' .. attempts .. ' of ' .. most .. ': the worker died or hung"', 'null')
  else
    call('ZREM', LEASES, id)
    call('HSET', state_key(id), 'state', 'pending')
    enlist(id, priority_of(head), 'LPUSH')
  end
end

local due = call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, SWEEP)
for _, id in ipairs(due) do
  call('ZREM', DELAYED, id)
  enlist(id, priority_of(head_of(id)), 'RPUSH')
end

leased = {}
for _, priority in ipairs(call('ZREVRANGE', PRIORITIES, 0, -1)) do
  while recovered + #leased / 2 < limit do
    local ids = call('LPOP', PENDING .. priority, limit - recovered - #leased / 2)
    if not ids or #ids == 0 then break end
    for _, id in ipairs(ids) do deliver(id, false) end
  end
  forget_if_empty(priority)
  if recovered + #leased / 2 >= limit then break end
end
if #leased > 0 then call('ZADD', LEASES, unpack(leased)) end

-- I4: this worker may have been woken by the token, and taken it away. Were it not put back while tasks are left, another
-- would sleep on beside them.
if has_pending() then wake() else call('DEL', WAKE) end

if #expired == SWEEP or #due == SWEEP then
  reply[2] = 0
else
  for _, key in ipairs({ DELAYED, LEASES }) do
    local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    local ahead = first and math.max(tonumber(first) - now, 0)
    if ahead and (reply[2] < 0 or ahead < reply[2]) then reply[2] = ahead end
  end
end
return reply
