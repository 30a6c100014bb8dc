-- Where tasks are besides, and how they are read and moved; put between the prelude and each script but `enqueue` and
-- `check`, which say nothing of it: making a word costs a script about as much as a command.
local RUNS = base .. 'runs'
local LEASES = base .. 'leases'
local DEAD = base .. 'dead'

-- The first line of a record: [enqueued_at, name, priority, max_attempts, dedupe_key], the last ones left out while they are 0 and null.
local function head_in(record) return match(record, '^[^\n]*') end

local function fields_of(head)
  if match(head, '^%[%d+,"[^"\\]*"%]$') then return nil end -- most have no more than time and name
  local is_json, fields = pcall(cjson.decode, head)
  return is_json and type(fields) == 'table' and fields or nil
end

local function priority_of(head)
  local fields = fields_of(head)
  return fields and type(fields[3]) == 'number' and string.format('%.0f', fields[3]) or '0'
end

-- A run is lines of JSON: [state, attempts, started, lease], the head, and then either nothing or progress, error and
-- traceback. Returns state, attempts, started, lease, head, and the rest with the line feed before it.
local function parse(run) return match(run, '^%["(%a+)",(%d+),(%w+),"([^"]*)"%]\n([^\n]*)(.*)$') end

local function compose(state, attempts, started, lease, head, rest)
  return '["' .. state .. '",' .. attempts .. ',' .. started .. ',"' .. lease .. '"]\n' .. head .. rest
end

local function progress_in(rest) return match(rest, '^\n([^\n]*)') or '' end

-- What is kept of a task that has come to an end: the same lines, with the time in the first, then the result, then the
-- task's data if it may be put back.
local function compose_end(state, attempts, started, lease, head, rest, ending)
  if rest == '' then rest = '\n\n\n' end
  -- One expression is one new string.
  return '["' .. state .. '",' .. attempts .. ',' .. started .. ',"' .. lease .. '",' .. now .. ']\n' .. head .. rest .. '\n' .. ending
end

local function data_of(id) return match(call('HGET', TASKS, id) or '', '\n(.*)$') or '' end

local function has_pending() return call('EXISTS', PRIORITIES) == 1 end

local function enlist(id, priority, command)
  call('ZADD', PRIORITIES, priority, priority)
  call(command, PENDING .. priority, id)
end

-- Lists vanish when they become empty; their entry in the index goes with them.
local function forget_if_empty(priority)
  if call('EXISTS', PENDING .. priority) == 0 then call('ZREM', PRIORITIES, priority) end
end

-- I5: the key is freed only by the task that holds it; after a requeue another may.
local function free_dedupe(id, head)
  local fields = fields_of(head)
  local dedupe = fields and fields[5]
  if type(dedupe) == 'string' and call('HGET', DEDUPE, dedupe) == id then call('HDEL', DEDUPE, dedupe) end
end

local function forget(id)
  call('HDEL', TASKS, id)
  call('HDEL', RUNS, id)
end

-- Makes a dead letter, and drops the oldest ones beyond the bound. Scored by microseconds, to be listed in order.
local function bury(id, attempts, started, lease, head, rest)
  call('SET', ENDED .. id, compose_end('failed', attempts, started, lease, head, rest, '\n' .. data_of(id)))
  call('ZREM', LEASES, id)
  forget(id)
  call('ZADD', DEAD, string.format('%.0f', time[1] * 1000000 + time[2]), id)
  free_dedupe(id, head)
  local surplus = call('ZCARD', DEAD) - max_dead
  if surplus > 0 then
    local oldest = call('ZPOPMIN', DEAD, surplus)
    for i = 1, #oldest, 2 do call('DEL', ENDED .. oldest[i]) end
  end
end

-- Tells what is known of a task: its id, and its run or what is kept of it, without the data.
local function describe(id)
  local run = call('HGET', RUNS, id)
  if run then return { id, run } end
  local record = call('HGET', TASKS, id)
  if record then return { id, compose('pending', 0, 'null', '', head_in(record), '') } end
  local ended = call('GET', ENDED .. id)
  local line = '[^\n]*\n'
  return ended and { id, match(ended, '^' .. string.rep(line, 5) .. '[^\n]*') or ended } or nil
end

