--[[
  Tells where a reservation is in its life.

  KEYS[1]   hold
  Returns nothing if it is not known, otherwise { state as in includes/hold.lua, other owners, when it expires, then
  partition key, counter, amount of each that it has set aside, -1 where that was given back }. Changes nothing.
]]

--- @include partition
--- @include counter
--- @include hold

local hold = readHold(KEYS[1])
if not hold then return false end
local reply = { hold.state, hold.others, hold.expires or 0 }
for _, held in ipairs(hold.amounts or {}) do
  reply[#reply + 1] = held.key
  reply[#reply + 1] = held.name
  reply[#reply + 1] = held.expiry == 'x' and -1 or held.amount
end
return reply
