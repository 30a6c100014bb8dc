-- Tells what is known of tasks, and changes nothing. ARGV: ids. Returns for each its id and lines, or nil if there is none.
local found = {}
for i = OWN, #ARGV do found[#found + 1] = describe(ARGV[i]) or false end
return found
