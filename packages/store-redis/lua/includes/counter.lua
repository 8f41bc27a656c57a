--[[
  One counter as a charge sees it; the same arithmetic as counter-view.ts in @tallygate/core.
  A charge is a list: key index, counter name, kind, amount, quota (-1: none), trip, effect, quota change, duration change,
  expiry, alternative, and the numbers of its window.
]]

local C_KEY, C_NAME, C_KIND, C_AMOUNT, C_QUOTA, C_TRIP, C_EFFECT = 1, 2, 3, 4, 5, 6, 7
local C_QUOTA_CHANGE, C_DURATION_CHANGE, C_EXPIRY, C_ALTERNATIVE, C_W1, C_W2, C_W3 = 8, 9, 10, 11, 12, 13, 14
local FITS, REACHED = 0, 1
local REFUSE = 0
local NOW = 0
local KEEP = 0

-- Amount in a bucket of a sliding counter; 0 outside what is kept.
local function amountIn(counter, bucket)
  local places = #counter - RING
  if bucket > counter[START] or bucket <= counter[START] - places then return 0 end
  return counter[RING + 1 + bucket % places]
end

local function hasShape(counter, charge)
  return counter[BUCKET_MS] == charge[C_W1] and #counter - RING == charge[C_W2] + 1
end

local function oldest(counter, latest)
  return math.max(latest, counter[START]) - (#counter - RING) + 1
end

local function quotaInForce(known, charge)
  if known and charge[C_QUOTA_CHANGE] ~= NOW then return known[QUOTA] end
  return charge[C_QUOTA]
end

local function isStale(charge, now)
  return charge[C_KIND] == FIXED and (now < charge[C_W1] or now >= charge[C_W3])
end

-- { bucket, ends (-1: never), used, quota, ended }
local function view(counter, charge, now)
  local kind = charge[C_KIND]
  local known = counter and counter[KIND] == kind and counter or nil
  if kind == FIXED then
    local start, ends = charge[C_W1], charge[C_W2]
    if now >= ends then start, ends = charge[C_W2], charge[C_W3] end
    if known and known[START] == start then
      if charge[C_DURATION_CHANGE] ~= NOW then ends = known[END] end
      return { bucket = start, ends = ends, used = known[USED], quota = quotaInForce(known, charge) }
    end
    if known and now < known[END] and charge[C_DURATION_CHANGE] ~= NOW then
      return { bucket = known[START], ends = known[END], used = known[USED], quota = quotaInForce(known, charge) }
    end
    return { bucket = start, ends = ends, used = 0, quota = charge[C_QUOTA] }
  end
  if kind == SLIDING then
    local bucket, used = math.floor(now / charge[C_W1]), 0
    if known and hasShape(known, charge) then
      for i = oldest(known, bucket), known[START] do used = used + amountIn(known, i) end
    end
    return { bucket = bucket, ends = -1, used = used, quota = charge[C_QUOTA] }
  end
  if kind == FIRST_USE then
    local ends = 0
    if known then ends = charge[C_DURATION_CHANGE] ~= NOW and known[END] or known[START] + charge[C_W1] end
    if not known or (now >= ends and charge[C_W2] == 0) then
      return { bucket = now, ends = now + charge[C_W1], used = 0, quota = charge[C_QUOTA] }
    end
    return { bucket = known[START], ends = ends, used = known[USED], quota = quotaInForce(known, charge), ended = now >= ends }
  end
  return { bucket = 0, ends = -1, used = known and known[USED] or 0, quota = charge[C_QUOTA] }
end

local function trips(seen, charge)
  if seen.ended then return true end
  if seen.quota < 0 then return false end
  if charge[C_TRIP] == FITS then return seen.used + charge[C_AMOUNT] > seen.quota end
  if charge[C_TRIP] == REACHED then return seen.used >= seen.quota end
  return seen.used > seen.quota
end

-- An AND, and an OR of ANDs.
local function refuses(charges, tripped)
  local full, alternatives, fullCount, count = {}, {}, 0, 0
  for i, charge in ipairs(charges) do
    local alternative = charge[C_ALTERNATIVE]
    if alternative ~= 0 and not alternatives[alternative] then
      alternatives[alternative] = true
      count = count + 1
    end
    if tripped[i] and charge[C_EFFECT] == REFUSE then
      if alternative == 0 then return true end
      if not full[alternative] then
        full[alternative] = true
        fullCount = fullCount + 1
      end
    end
  end
  return count > 0 and fullCount == count
end

local function resetAt(counter, seen, charge)
  if charge[C_KIND] ~= SLIDING then return seen.ended and -1 or seen.ends end
  local bucketMs, places = charge[C_W1], charge[C_W2] + 1
  if counter and counter[KIND] == SLIDING and hasShape(counter, charge) then
    for i = oldest(counter, seen.bucket), seen.bucket - 1 do
      if amountIn(counter, i) > 0 then return (i + places) * bucketMs end
    end
  end
  return (seen.bucket + places) * bucketMs
end

local function roomAt(counter, seen, charge, now)
  local kind = charge[C_KIND]
  if seen.ended or trips({ used = 0, quota = charge[C_QUOTA] }, charge) then return -1 end
  if kind == FIXED then return seen.ends end
  if kind == FIRST_USE then return charge[C_W2] == 0 and seen.ends or -1 end
  if kind == LIFETIME then return -1 end
  if kind == CONCURRENT then return now + 1000 end
  if not counter then return -1 end
  local used = seen.used
  for i = oldest(counter, seen.bucket), seen.bucket do
    used = used - amountIn(counter, i)
    if not trips({ used = used, quota = seen.quota }, charge) then return (i + charge[C_W2] + 1) * charge[C_W1] end
  end
  return -1
end

-- Appends used, quota, tripped, reset and room of a charge to a reply.
local function addStatus(reply, counter, charge, now, granted)
  local seen = view(counter, charge, now)
  local tripped = trips(seen, charge)
  local n = #reply
  reply[n + 1] = seen.used + (granted and charge[C_AMOUNT] or 0)
  reply[n + 2] = seen.quota
  reply[n + 3] = tripped and 1 or 0
  reply[n + 4] = resetAt(counter, seen, charge)
  reply[n + 5] = tripped and roomAt(counter, seen, charge, now) or now
end

-- Counts an amount in the bucket of a view, and makes that bucket the current one.
local function add(loaded, charge, seen, amount)
  local name, kind = charge[C_NAME], charge[C_KIND]
  local counter = loaded.c[name]
  loaded.changed = true
  if kind == SLIDING then
    local places = charge[C_W2] + 1
    if not counter or counter[KIND] ~= SLIDING or not hasShape(counter, charge) then
      counter = { SLIDING, seen.bucket, -1, 0, charge[C_QUOTA], 0, charge[C_W1] }
      for i = 1, places do counter[RING + i] = 0 end
      loaded.c[name] = counter
    end
    if seen.bucket > counter[START] then
      for i = math.max(counter[START] + 1, seen.bucket - places + 1), seen.bucket do counter[RING + 1 + i % places] = 0 end
      counter[START] = seen.bucket
    end
    if seen.bucket > counter[START] - places then
      local at = RING + 1 + seen.bucket % places
      counter[at] = counter[at] + amount
    end
    return
  end
  if not counter or counter[KIND] ~= kind or counter[START] ~= seen.bucket then
    local lasts = kind == FIRST_USE and charge[C_W2] or 0
    counter = { kind, seen.bucket, seen.ends, 0, charge[C_QUOTA], lasts, 0 }
    loaded.c[name] = counter
  end
  if charge[C_QUOTA_CHANGE] == NOW then counter[QUOTA] = charge[C_QUOTA] end
  counter[END] = seen.ends
  counter[USED] = counter[USED] + amount
end
