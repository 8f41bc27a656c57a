--[[
  Holds: { s = state, x = expires, c = context, a = amounts }, one string a hold.
  States: 'h' held, 'e' expired (a: what it has kept), 'd' done: settled or released.
  An amount is a list: partition key, counter name, kind, bucket, amount, expiry, ms of a bucket.
]]

local A_KEY, A_NAME, A_KIND, A_BUCKET, A_AMOUNT, A_EXPIRY, A_BUCKET_MS = 1, 2, 3, 4, 5, 6, 7

local function readHold(key)
  local packed = redis.call('GET', key)
  return packed and cmsgpack.unpack(packed) or nil
end

local function heldAmount(key, charge, seen)
  local bucketMs = charge[C_KIND] == SLIDING and charge[C_W1] or 0
  return { key, charge[C_NAME], charge[C_KIND], seen.bucket, charge[C_AMOUNT], charge[C_EXPIRY], bucketMs }
end

-- Takes back an amount from the bucket that it was reserved in, if that bucket is still open.
local function giveBack(held, amount, at)
  local loaded = partition(held[A_KEY])
  local counter = loaded.c[held[A_NAME]]
  if not counter or counter[KIND] ~= held[A_KIND] then return end
  if held[A_KIND] == SLIDING then
    if counter[BUCKET_MS] ~= held[A_BUCKET_MS] then return end
    local kept = amountIn(counter, held[A_BUCKET])
    if kept > 0 then
      counter[RING + 1 + held[A_BUCKET] % (#counter - RING)] = math.max(0, kept - amount)
      loaded.changed = true
    end
  elseif counter[START] == held[A_BUCKET] and (counter[END] < 0 or at < counter[END]) then
    counter[USED] = math.max(0, counter[USED] - amount)
    loaded.changed = true
  end
end

local function writeHold(key, id, openKey, expires, context, amounts)
  redis.call('SET', key, cmsgpack.pack({ s = 'h', x = expires, c = context, a = amounts }))
  redis.call('ZADD', openKey, string.format('%.0f', expires), id)
end

local function closeHold(key, id, openKey, closedFor)
  redis.call('SET', key, cmsgpack.pack({ s = 'd' }), 'PX', closedFor)
  redis.call('ZREM', openKey, id)
end

-- Expires at most `most` holds of an owner: gives back what is not to be kept, and lists them as expired.
local function sweep(base, openKey, expiredKey, now, most, closedFor)
  local due = redis.call('ZRANGEBYSCORE', openKey, '-inf', string.format('%.0f', now), 'LIMIT', 0, most)
  for _, id in ipairs(due) do
    local key = base .. 'h:' .. id
    local hold = readHold(key)
    redis.call('ZREM', openKey, id)
    if hold and hold.s == 'h' then
      local kept = {}
      for _, held in ipairs(hold.a) do
        if held[A_EXPIRY] == KEEP and held[A_KIND] ~= CONCURRENT then
          kept[#kept + 1] = held
        else
          giveBack(held, held[A_AMOUNT], now)
        end
      end
      redis.call('SET', key, cmsgpack.pack({ s = 'e', a = kept }), 'PX', closedFor)
      redis.call('HSET', expiredKey, id, cmsgpack.pack({ hold.x, hold.c }))
    end
  end
  return #due
end
