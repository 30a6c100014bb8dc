-- Puts tasks into the queue: all of them or none.
-- ARGV: five for each task: id, delay in milliseconds, priority, dedupe key or '', record without the time.
-- Returns position and id of each task for which another with its dedupe key stands in.
-- I5 holds unless the server was told to evict keys: a task whose record is gone no longer holds its key.
local function holder_of(dedupe)
  local id = call('HGET', DEDUPE, dedupe)
  return id and call('EXISTS', task_key(id)) == 1 and id
end

-- Nothing is written before everything is decided.
local stand_ins, fresh, taken = {}, {}, {}
for i = OWN, #ARGV, 5 do
  local id, dedupe = ARGV[i], ARGV[i + 3]
  local holder = dedupe ~= '' and (taken[dedupe] or holder_of(dedupe))
  if holder then
    stand_ins[#stand_ins + 1] = (i - OWN) / 5
    stand_ins[#stand_ins + 1] = holder
  -- The reply to the first sending may have been lost on its way: ids are the sender's, so what is there is it.
  elseif not (is_resent and call('EXISTS', task_key(id), state_key(id)) > 0) then
    fresh[#fresh + 1] = i
    if dedupe ~= '' then taken[dedupe] = id end
  end
end
if #fresh == 0 then return stand_ins end

if max_tasks > 0 then
  local held = call('ZCARD', DELAYED) + call('ZCARD', LEASES)
  for _, priority in ipairs(call('ZRANGE', PRIORITIES, 0, -1)) do held = held + call('LLEN', PENDING .. priority) end
  if held + #fresh > max_tasks then return redis.error_reply('INDIAAIFULL ' .. held) end
end

-- Many at a time, for a call from Lua costs more than its work. Lua's stack holds about 8,000 values.
local records = {}
for n, i in ipairs(fresh) do
  records[#records + 1] = task_key(ARGV[i])
  records[#records + 1] = '[' .. now .. ',' .. ARGV[i + 4]
  if #records == 1000 or n == #fresh then
    call('MSET', unpack(records))
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
  wake()
end
return stand_ins
