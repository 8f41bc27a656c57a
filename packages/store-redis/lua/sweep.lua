--[[
  Expires the holds of one owner that are due, and lists the expired ones that nobody acknowledged.

  KEYS[1]   home
  ARGV[1]   as in includes/charge.lua; the operation's number is how many at most

  Returns { 0 if no hold is open, then of each expired one a list: id, expired at, made at, context, other owners, then
  partition key, counter, amount (0: given back) }. Safe to run twice: a hold stays listed until it is acknowledged.
]]

--- @include partition
--- @include counter
--- @include hold
--- @include charge

local now = storeTime(given)
home.due = 0
sweep(base, now, first)
writePartitions(now)

local reply = { redis.call('ZCARD', base .. 'o') + #home.open }
local listed = redis.call('HSCAN', base .. 'x', '0', 'COUNT', first)[2]
for i = 1, #listed, 2 do
  local hold = unpackHold(listed[i + 1])
  local each = { listed[i], hold.expires, hold.admitted, string.sub(hold.tail, #hold.others + 2), hold.others }
  for _, held in ipairs(hold.amounts) do
    each[#each + 1] = held.key
    each[#each + 1] = held.name
    each[#each + 1] = held.expiry == 'x' and 0 or held.amount
  end
  reply[#reply + 1] = each
end
return reply
