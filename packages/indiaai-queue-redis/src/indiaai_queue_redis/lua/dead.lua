-- Tells what is known of the latest dead letters, and changes nothing. ARGV: the most of them.
-- Returns id, lines and the time of death in microseconds of each.
local found = {}
local letters = call('ZREVRANGE', DEAD, 0, tonumber(ARGV[OWN]) - 1, 'WITHSCORES')
for i = 1, #letters, 2 do
  local letter = describe(letters[i])
  if letter then
    letter[3] = letters[i + 1]
    found[#found + 1] = letter
  end
end
return found
