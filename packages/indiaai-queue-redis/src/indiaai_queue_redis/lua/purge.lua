-- Forgets tasks that are pending or dead, a bounded number a call.
-- ARGV: the most tasks. Returns how many were forgotten; fewer than the most: there are no more.
local limit, count = tonumber(ARGV[OWN]), 0

local function drop(ids)
  if #ids == 0 then return end
  if call('EXISTS', DEDUPE) == 1 then
    for i, record in ipairs(call('HMGET', TASKS, unpack(ids))) do free_dedupe(ids[i], head_in(record or '')) end
  end
  call('HDEL', TASKS, unpack(ids))
  call('HDEL', RUNS, unpack(ids))
  count = count + #ids
end

local function pop(key)
  local popped, ids = call('ZPOPMIN', key, limit - count), {}
  for i = 1, #popped, 2 do ids[#ids + 1] = popped[i] end
  return ids
end

for _, priority in ipairs(call('ZRANGE', PRIORITIES, 0, -1)) do
  if count < limit then
    drop(call('LPOP', PENDING .. priority, limit - count) or {})
    forget_if_empty(priority)
  end
end
if count < limit then drop(pop(DELAYED)) end
if count < limit then
  local dead = pop(DEAD)
  for _, id in ipairs(dead) do call('DEL', ENDED .. id) end
  count = count + #dead
end
if not has_pending() then call('DEL', WAKE) end
make_room()
return count
