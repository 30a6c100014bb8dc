-- The words that every script shares; put in front of each of them. KEYS[1] is what all keys of the
-- queue begin with, such as {indiaai:default}: with its colon. The braces put all keys of a queue into one hash slot, so a script may make the others from it.
--
-- Invariants that hold between any two scripts, for each task of the queue:
--   I1  A task is in exactly one of: a pending list, `delayed`, `leases`, or none of them (it has come to an end).
--       A script moves it whole: nobody sees it in two places, or in none on the way.
--   I2  Its record exists while it is in one of them.
--   I3  `lease` in its state names its latest delivery, and no other. Who settles names it too.
--   I4  If a pending list is not empty, `wake` is not empty: a worker that begins to wait is let through at once.
--   I5  A dedupe key names a task that is pending or processing.

-- What every call says first: which sending this is, from 0 (a later one may follow on one that took effect and whose reply
-- was lost), and the settings.
local is_resent = ARGV[1] ~= '0'
local lease_ms, keep_ms, max_dead, max_tasks = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local OWN = 6 -- where a script's own arguments begin

-- Redis 6.2 can be configured to replicate scripts by their text; as TIME differs on a replica, ask for effects.
if redis.replicate_commands then redis.replicate_commands() end

local call = redis.call
local base = KEYS[1]
local PENDING = base .. 'pending:'
local PRIORITIES = base .. 'priorities'
local DELAYED = base .. 'delayed'
local LEASES = base .. 'leases'
local DEAD = base .. 'dead'
local DEDUPE = base .. 'dedupe'
local WAKE = base .. 'wake'

-- Another layout is left alone: a newer version of this package may be at work during an upgrade.
local format = call('GET', base .. 'format')
if format and format ~= '1' then return redis.error_reply('INDIAAIFORMAT ' .. format) end

-- The server's clock: workers' clocks differ, and a lease that is judged by two clocks is held by two workers.
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function task_key(id) return base .. 'task:' .. id end
local function state_key(id) return base .. 'state:' .. id end

-- A server that is out of memory refuses commands that may take more, unless the script has written before. Scripts
-- that drain the queue begin with this write, which changes nothing; so a full server can be worked empty. Those that
-- fill it do not, and are refused before their first write.
local function allow_when_full() call('DEL', base .. 'none') end

-- The first line of the record: [enqueued_at, priority, max_attempts, name, dedupe_key]; at most 2 KiB long.
local function head_of(id)
  return call('HGET', state_key(id), 'head') or string.match(call('GETRANGE', task_key(id), 0, 4095), '^[^\n]+')
end

local function priority_of(head) return string.match(head or '', '^%[%d+,(%-?%d+),') or '0' end

local function has_pending() return call('ZCARD', PRIORITIES) > 0 end

local function wake()
  if call('LLEN', WAKE) == 0 then call('RPUSH', WAKE, '1') end
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

local function dedupe_of(head)
  if not head or string.sub(head, -6) == ',null]' then return nil end
  local is_json, fields = pcall(cjson.decode, head)
  return is_json and type(fields) == 'table' and type(fields[5]) == 'string' and fields[5] or nil
end

-- I5: the key is freed only by the task that holds it; after a requeue another may.
local function free_dedupe(id, head)
  local dedupe = dedupe_of(head)
  if dedupe and call('HGET', DEDUPE, dedupe) == id then call('HDEL', DEDUPE, dedupe) end
end

local function forget(id) call('DEL', task_key(id), state_key(id)) end

-- Keeps what is known of a task that has come to an end for as long as is set, or not at all.
local function keep(id)
  if keep_ms > 0 then
    call('PEXPIRE', state_key(id), keep_ms)
    call('PEXPIRE', task_key(id), keep_ms)
  else
    forget(id)
  end
end

-- Makes a dead letter, and drops the oldest ones beyond the bound. Scored by microseconds, to be listed in order.
local function bury(id, head, failure, traceback)
  call('ZREM', LEASES, id)
  call('HSET', state_key(id), 'state', 'failed', 'finished', now, 'error', failure, 'traceback', traceback)
  call('ZADD', DEAD, string.format('%.0f', time[1] * 1000000 + time[2]), id)
  free_dedupe(id, head)
  local surplus = call('ZCARD', DEAD) - max_dead
  if surplus > 0 then
    local oldest = call('ZPOPMIN', DEAD, surplus)
    for i = 1, #oldest, 2 do forget(oldest[i]) end
  end
end

local function describe(id)
  local head = head_of(id)
  return head and { id, head, call('HGETALL', state_key(id)) } or nil
end

