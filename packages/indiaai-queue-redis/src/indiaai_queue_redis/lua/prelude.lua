-- The words that every script shares; put in front of each of them. KEYS[1] is what all keys of the queue begin with, such as
-- {indiaai:default}: with its colon. The braces put them all into one hash slot, so a script may make the others from it.
--
-- Invariants that hold between any two scripts, for each task of the queue:
--   I1  A task is in exactly one of: a pending list, `delayed`, `leases`, or none of them (it has come to an end).
--       A script moves it whole: nobody sees it in two places, or in none on the way.
--   I2  Its record is in `tasks` while it is in one of them, and in no other case.
--   I3  The lease in its run names its latest delivery, and no other. Who settles names it too.
--   I4  If a pending list is not empty, `wake` is not empty: a worker that begins to wait is let through at once.
--   I5  A dedupe key names a task that is pending or processing.
--
-- A call from Lua costs about as much as its work. So what can be said of many tasks in one call is.

-- What every call says first: which sending this is, from 0 (a later one may follow on one that took effect and whose reply
-- was lost), and the settings.
local is_resent = ARGV[1] ~= '0'
local lease_ms, keep_ms, max_dead, max_tasks = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local OWN = 6 -- where a script's own arguments begin

-- Redis 6.2 can be configured to replicate scripts by their text; as TIME differs on a replica, ask for effects.
if redis.replicate_commands then redis.replicate_commands() end

local call, match = redis.call, string.match
local base = KEYS[1]
local TASKS = base .. 'tasks'
local RUNS = base .. 'runs'
local ENDED = base .. 'ended:'
local PENDING = base .. 'pending:'
local PRIORITIES = base .. 'priorities'
local DELAYED = base .. 'delayed'
local LEASES = base .. 'leases'
local DEAD = base .. 'dead'
local DEDUPE = base .. 'dedupe'
local WAKE = base .. 'wake'
local FULL = base .. 'full'
local ROOM = base .. 'room'

-- Another layout is left alone: a newer version of this package may be at work during an upgrade.
local format = call('GET', base .. 'format')
if format and format ~= '1' then return redis.error_reply('INDIAAIFORMAT ' .. format) end

-- The server's clock: workers' clocks differ, and a lease that is judged by two clocks is held by two workers.
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A server that is out of memory refuses commands that may take more, unless the script has written before. Scripts
-- that drain the queue begin with this write, which changes nothing; so a full server can be worked empty. Those that
-- fill it do not, and are refused before their first write.
local function allow_when_full() call('DEL', base .. 'none') end

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

local function wake()
  if call('LLEN', WAKE) == 0 then call('RPUSH', WAKE, '1') end
end

-- Somebody waits for room, and there may be some: lets one through, who lets the next through if there is more.
local function make_room()
  if call('EXISTS', FULL) == 1 and call('LLEN', ROOM) == 0 then
    call('RPUSH', ROOM, '1')
    call('PEXPIRE', ROOM, 5000)
  end
end

local function enlist(id, priority, command)
  call('ZADD', PRIORITIES, priority, priority)
  call(command, PENDING .. priority, id)
end

-- Lists vanish when they become empty; their entry in the index goes with them.
local function forget_if_empty(priority)
  if call('EXISTS', PENDING .. priority) == 0 then call('ZREM', PRIORITIES, priority) end
end

-- Waiting workers sleep until what was due first when they looked: what is due sooner has to wake one.
local function delay(id, due)
  call('ZADD', DELAYED, due, id)
  if call('ZRANGE', DELAYED, 0, 0)[1] == id then wake() end
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

