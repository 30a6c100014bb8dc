-- Puts tasks into the queue.
-- ARGV: 'all' for all of them or none, 'each' for as many as there is room for; milliseconds for which who is refused will
-- wait for room, or 0; then two for each task: its id, and its record without `[` and the time. A record that lacks
-- them begins with the name's quotation mark; what has a delay, a priority or a dedupe key has a line in front of that:
-- delay in milliseconds, priority, and the key or nothing, with a space between them.
-- Returns position and id of each task for which another with its dedupe key stands in, and position and '' of each that
-- was refused.
local is_each, wait_ms, FIRST = ARGV[OWN] == 'each', tonumber(ARGV[OWN + 1]), OWN + 2
local QUOTE = string.byte('"')

-- I5 holds unless the server was told to evict keys: a task whose record is gone no longer holds its key.
local function holder_of(dedupe)
  local id = call('HGET', DEDUPE, dedupe)
  return id and call('HEXISTS', TASKS, id) == 1 and id
end

-- Nothing is written before everything is decided.
local room = max_tasks > 0 and max_tasks - call('HLEN', TASKS) or math.huge
local reply, records, ready, late, taken, refused = {}, {}, { ['0'] = {} }, {}, {}, 0
local stamp, count = '[' .. now .. ',', 0
for i = FIRST, #ARGV, 2 do
  local id, record = ARGV[i], ARGV[i + 1]
  local milliseconds, priority, dedupe = '0', '0', ''
  if string.byte(record) ~= QUOTE then
    milliseconds, priority, dedupe, record = match(record, '^(%d+) (%-?%d+) ([^\n]*)\n(.*)$')
  end
  local holder = dedupe ~= '' and (taken[dedupe] or holder_of(dedupe))
  -- The reply to the first sending may have been lost on its way: ids are the sender's, so what is there is it.
  local is_there = is_resent and (call('HEXISTS', TASKS, id) == 1 or call('EXISTS', ENDED .. id) == 1)
  if not holder and not is_there then
    if count < room then
      count = count + 1
      records[2 * count - 1] = id
      records[2 * count] = stamp .. record
      if milliseconds ~= '0' then
        late[id] = now + milliseconds
      else
        local list = ready[priority]
        if not list then
          list = {}
          ready[priority] = list
        end
        list[#list + 1] = id
      end
      if dedupe ~= '' then taken[dedupe] = id end
    else
      holder, refused = '', refused + 1
    end
  end
  if holder then
    reply[#reply + 1] = (i - FIRST) / 2
    reply[#reply + 1] = holder
  end
end

if refused > 0 then
  if wait_ms > 0 then call('SET', FULL, '1', 'PX', wait_ms) end
  if not is_each then return redis.error_reply('INDIAAIFULL ' .. max_tasks) end
end
if count == 0 then return reply end

-- Lua's stack holds about 8,000 values.
for first = 1, #records, 4000 do call('HSET', TASKS, unpack(records, first, math.min(first + 3999, #records))) end
if not format then call('SET', base .. 'format', '1') end
for dedupe, id in pairs(taken) do call('HSET', DEDUPE, dedupe, id) end
for id, due in pairs(late) do delay(id, due) end
for priority, ids in pairs(ready) do
  if #ids > 0 then
    -- A list that was not empty is in the index.
    if call('RPUSH', PENDING .. priority, unpack(ids)) == #ids then call('ZADD', PRIORITIES, priority, priority) end
    wake()
  end
end
if max_tasks > 0 and count < room then make_room() end
return reply
