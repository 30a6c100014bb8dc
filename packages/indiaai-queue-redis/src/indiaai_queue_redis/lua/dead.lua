-- Tells what is known of the latest dead letters, and changes nothing. ARGV: the most of them.
local found = {}
local limit = tonumber(ARGV[OWN])
if limit > 0 then
  for _, id in ipairs(call('ZREVRANGE', DEAD, 0, limit - 1)) do found[#found + 1] = describe(id) end
end
return found
