-- What every script begins with. KEYS[1] is what all keys of the queue begin with, such as {indiaai:default}: with its colon.
-- The braces put them all into one hash slot, so a script may make the others from it.
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
local ENDED = base .. 'ended:'
local PENDING = base .. 'pending:'
local PRIORITIES = base .. 'priorities'
local DELAYED = base .. 'delayed'
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

-- Waiting workers sleep until what was due first when they looked: what is due sooner has to wake one.
local function delay(id, due)
  call('ZADD', DELAYED, due, id)
  if call('ZRANGE', DELAYED, 0, 0)[1] == id then wake() end
end

