--[[
  What a call asks for.

  KEYS[1]   hold, or anything else of the owner (base + letter + ':' …); its home partition is base + 'c:'
  KEYS[2..] further partitions; on a Cluster last the home, so that a slot that moves is answered for by one server only
  ARGV[1]   numbers: server (0: no charge asks for it), length of the base, what the operation needs, an instant in the
            fixed windows that are aligned to the epoch; amounts; of each charge its quota (-1: none), if it is not in
            the shape, and of other fixed windows their three edges; then a second one that the operation needs, when the store was opened (-1:
            now), now (-1: the server's time)
  ARGV[2]   other owners and context, as at the end of a hold
  ARGV[3..] lines of the counters, of home and each further partition as in its directory
  shape     of each charge, with semicolons between: partition, kind, trip, effect, keeps quota, keeps duration, expiry,
            alternative, is rebuilt, two numbers of the window, which of the amounts, quota (n: it is sent)
]]

local numbers = {}
for number in string.gmatch(ARGV[1], '%S+') do numbers[#numbers + 1] = tonumber(number) end
local run, baseLength, first, instant = unpack(numbers)
local second, opened, given = numbers[#numbers - 2], numbers[#numbers - 1], numbers[#numbers]
if SERVER_SALT and run ~= 0 then run = (run + tonumber(string.sub(redis.call('CLUSTER', 'MYID'), 1, 8), 16)) % 4294967296 end
local base = string.sub(KEYS[1], 1, baseLength)
local id = string.sub(KEYS[1], baseLength + 3)
home = partition(base .. 'c:')

local function edges(charge, at)
  local duration = charge.w1
  if duration == 0 then
    charge.starts, charge.ends, charge.nextEnds = numbers[at], numbers[at + 1], numbers[at + 2]
    return at + 3
  end
  charge.starts = instant - instant % duration
  charge.ends, charge.nextEnds = charge.starts + duration, charge.starts + 2 * duration
  return at
end

local function readCharges(shape)
  local lines, keys = {}, { home.key }
  for i = 2, MARKS and #KEYS or #KEYS - 1 do keys[i] = KEYS[i] end
  for i, key in ipairs(keys) do
    partition(key)
    lines[i] = string.gmatch(ARGV[i + 2], '%u%S* ([^\n]*)\n')
  end
  local charges, at = {}, 5
  for amount in string.gmatch(shape .. ';', ',(%d+),[-%dn]+;') do at = max(at, tonumber(amount) + 5) end
  for each in string.gmatch(shape, '[^;]+') do
    local index, kind, trip, effect, quotaChange, durationChange, expiry, alternative, rebuilt, w1, w2, amount, quota =
      string.match(each, '(%d+),(%u),(%d),(%d),(%d),(%d),(%l),(%d+),(%d),(%d+),(%d+),(%d+),(.+)')
    index = tonumber(index)
    local charge = { key = keys[index], loaded = partition(keys[index]), name = lines[index](), kind = kind }
    charge.trip, charge.effect, charge.alternative = tonumber(trip), tonumber(effect), tonumber(alternative)
    charge.keepsQuota, charge.keepsDuration, charge.expiry = quotaChange == '1', durationChange == '1', expiry
    charge.isRebuilt, charge.w1 = rebuilt == '1', tonumber(w1)
    charge.amount, charge.quota = numbers[4 + tonumber(amount)], tonumber(quota)
    if quota == 'n' then charge.quota, at = numbers[at], at + 1 end
    if kind == 'F' then at = edges(charge, at) end
    if kind == 'S' then charge.bucketMs, charge.places = charge.w1, tonumber(w2) + 1 end
    if kind == 'U' then charge.duration, charge.restarts = charge.w1, w2 == '0' end
    charges[#charges + 1] = charge
  end
  return charges
end

-- What voids a seed: something is left to the ledger, on a counter that nobody vouches for. A sliding one, which could be
-- vouched for soon by its age alone, has been used since.
local function leaveToLedger(charge, now)
  local owned = baseOf(charge.key)
  redis.call('INCR', owned .. 'f')
  redis.call('PEXPIRE', owned .. 'f', 3600000)
  if charge.kind ~= 'S' then return end
  local life = max(redis.call('PTTL', owned .. 's'), charge.places * charge.bucketMs)
  redis.call('SET', owned .. 's', string.format('%.0f', now), 'PX', string.format('%.0f', life))
end

-- { 5, now, how many, their indices from 0, their fences }, or nil where all are known.
local function unknownOf(charges, now)
  local reply, fences = { 5, now, 0 }, {}
  for i, charge in ipairs(charges) do
    if isUnknown(charge.loaded, charge, now) then
      reply[3] = reply[3] + 1
      reply[#reply + 1] = i - 1
      fences[#fences + 1] = tonumber(redis.call('GET', baseOf(charge.key) .. 'f') or 0)
    end
  end
  if reply[3] == 0 then return nil end
  for _, fence in ipairs(fences) do reply[#reply + 1] = fence end
  return reply
end
