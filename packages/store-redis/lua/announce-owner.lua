--[[
  Tells the slow sweep that an owner has holds: the owner will be visited, sooner or later, however busy it is.

  KEYS[1]   owners, by the time of their next visit
  ARGV[1]   owner
  ARGV[2]   now, or -1 for the server's time
  ARGV[3]   ms until the first visit

  Returns 1. An owner that is known already keeps its time but for one ms, by which a visitor sees that it was announced
  meanwhile; announcing it twice is harmless.
]]

local now = tonumber(ARGV[2])
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local visit = redis.call('ZSCORE', KEYS[1], ARGV[1])
local nextVisit = visit and math.floor(tonumber(visit)) + 1 or now + tonumber(ARGV[3])
redis.call('ZADD', KEYS[1], string.format('%.1f', nextVisit), ARGV[1])
return 1
