--[[
  Says when an owner that was visited is visited next, or that it need not be.

  KEYS[1]   owners, by the time of their next visit; half a ms more says that the last visit found no hold
  ARGV[1]   owner
  ARGV[2]   the time of this visit, as it stood when it was read
  ARGV[3]   now
  ARGV[4]   ms until the next visit, longer than a node goes without announcing an owner it holds something for
  ARGV[5]   1 if it has no hold

  Returns 1, or 0 if the owner was announced meanwhile: then it stays as it is.
  It is forgotten when two visits running found nothing and nobody announced it in between. Safe to run twice.
]]

local visit = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not visit or tonumber(visit) ~= tonumber(ARGV[2]) then return 0 end
local isEmpty = ARGV[5] == '1'
if isEmpty and tonumber(visit) % 1 ~= 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  local mark = isEmpty and 0.5 or 0
  redis.call('ZADD', KEYS[1], string.format('%.1f', math.floor(tonumber(ARGV[3])) + tonumber(ARGV[4]) + mark), ARGV[1])
end
return 1
