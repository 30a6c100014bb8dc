-- Counts, and changes nothing. Returns pending, delayed, processing, dead.
local pending = call('ZCOUNT', DELAYED, '-inf', now) -- their time has come, and the next claim takes them over
for _, priority in ipairs(call('ZRANGE', PRIORITIES, 0, -1)) do pending = pending + call('LLEN', PENDING .. priority) end
return { pending, call('ZCOUNT', DELAYED, '(' .. now, '+inf'), call('ZCARD', LEASES), call('ZCARD', DEAD) }
