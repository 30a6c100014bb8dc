-- Forgets tasks that are pending or dead, a bounded number a call.
-- ARGV: the most tasks. Returns how many were forgotten; fewer than the most: there are no more.
local limit, count = tonumber(ARGV[OWN]), 0

local function drop(id)
  free_dedupe(id, head_of(id))
  forget(id)
  count = count + 1
end

for _, priority in ipairs(call('ZRANGE', PRIORITIES, 0, -1)) do
  if count < limit then
    for _, id in ipairs(call('LPOP', PENDING .. priority, limit - count) or {}) do drop(id) end
    forget_if_empty(priority)
  end
end
for _, key in ipairs({ DELAYED, DEAD }) do
  if count < limit then
    local popped = call('ZPOPMIN', key, limit - count)
    for i = 1, #popped, 2 do drop(popped[i]) end
  end
end
if not has_pending() then call('DEL', WAKE) end
return count
