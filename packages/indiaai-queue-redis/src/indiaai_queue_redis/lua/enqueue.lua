-- Puts tasks into the queue.
-- ARGV: 'all' for all of them or none, 'each' for as many as there is room for; milliseconds for which who is refused will wait for room,
-- or 0; then five for each task: id, delay in milliseconds, priority, dedupe key or '', record without `[` and the time.
-- Returns position and id of each task for which another with its dedupe key stands in, and position and '' of each that
-- was refused.
local each, wait_ms, FIRST = ARGV[OWN] == 'each', tonumber(ARGV[OWN + 1]), OWN + 2

-- I5 holds unless the server was told to evict keys: a task whose record is gone no longer holds its key.
local function holder_of(dedupe)
  local id = call('HGET', DEDUPE, dedupe)
  return id and call('HEXISTS', TASKS, id) == 1 and id
end

-- Nothing is written before everything is decided.
local room = max_tasks > 0 and max_tasks - call('HLEN', TASKS) or math.huge
local reply, fresh, taken, refused = {}, {}, {}, 0
for i = FIRST, #ARGV, 5 do
  local id, dedupe = ARGV[i], ARGV[i + 3]
  local holder = dedupe ~= '' and (taken[dedupe] or holder_of(dedupe))
  -- The reply to the first sending may have been lost on its way: ids are the sender's, so what is there is it.
  local is_there = is_resent and (call('HEXISTS', TASKS, id) == 1 or call('EXISTS', ENDED .. id) == 1)
  if not holder and not is_there then
    if #fresh < room then
      fresh[#fresh + 1] = i
      if dedupe ~= '' then taken[dedupe] = id end
    else
      holder, refused = '', refused + 1
    end
  end
  if holder then
    reply[#reply + 1] = (i - FIRST) / 5
    reply[#reply + 1] = holder
  end
end

if refused > 0 then
  if wait_ms > 0 then call('SET', FULL, '1', 'PX', wait_ms) end
  if not each then return redis.error_reply('INDIAAIFULL ' .. max_tasks) end
end
if #fresh == 0 then return reply end

-- Lua's stack holds about 8,000 values.
local records = {}
for n, i in ipairs(fresh) do
  records[#records + 1] = ARGV[i]
  records[#records + 1] = '[' .. now .. ',' .. ARGV[i + 4]
  if #records == 2000 or n == #fresh then
    call('HSET', TASKS, unpack(records))
    records = {}
  end
end
if not format then call('SET', base .. 'format', '1') end
for dedupe, id in pairs(taken) do call('HSET', DEDUPE, dedupe, id) end

local ready = {}
for _, i in ipairs(fresh) do
  local id, milliseconds, priority = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  if milliseconds > 0 then
    delay(id, now + milliseconds)
  else
    ready[priority] = ready[priority] or {}
    table.insert(ready[priority], id)
  end
end
for priority, ids in pairs(ready) do
  call('ZADD', PRIORITIES, priority, priority)
  for first = 1, #ids, 1000 do
    call('RPUSH', PENDING .. priority, unpack(ids, first, math.min(first + 999, #ids)))
  end
end
if next(ready) then wake() end
if max_tasks > 0 and #fresh < room then make_room() end
return reply
