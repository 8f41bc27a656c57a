--[[
  Partitions in which calls of other shapes count, too: what the ordinary case needs to find its own counters there, and to
  leave those of others as they are. Part of the scripts that are made for shapes.
]]

local LINE = '((%u)%d*,?(%d*) [^\n]*\n)'

-- Where the counters of these lines stand: begin and end of each stretch, in the order of the lines; and their records, one
-- after the other, of so many bytes in all. Nothing if one is missing, asked for twice, topped up, or unverified where its
-- digit of `rebuilt` is 1.
local function findRecords(packed, flags, directory, at, lines, bytes, rebuilt)
  local sub = string.sub
  -- Where this shape was the latest that came.
  if flags == 0 and sub(directory, 1, #lines) == lines then return { at, at + bytes }, sub(packed, at, at + bytes - 1) end
  local wanted = string.gmatch(lines, '[^\n]*\n')
  local stretches, last, numbers, found, extras = {}, 0, {}, 0, at
  local want = wanted()
  repeat
    local missing, from, number = want, at, 0
    for line, kind, ring in string.gmatch(directory, LINE) do
      local ends = from + (kind == 'F' and 32 or kind == 'S' and 24 + 8 * ring or kind == 'L' and 24 or kind == 'C' and 16 or 32)
      if line == want and not numbers[line] then
        if stretches[last] ~= from then
          stretches[last + 1], last = from, last + 2
        end
        stretches[last], numbers[line], want = ends, number, wanted()
        if not want and flags == 0 then break end
      end
      from, number = ends, number + 1
    end
    if want == missing then return end
    extras = from
  until not want
  if flags ~= 0 then
    for line in string.gmatch(lines, '[^\n]*\n') do
      local unverified, top = struct.unpack('<Bd', packed, extras + 17 * numbers[line])
      found = found + 1
      if top ~= 0 or unverified ~= 0 and sub(rebuilt, found, found) == '1' then return end
    end
  end
  local records = sub(packed, stretches[1], stretches[2] - 1)
  for i = 3, last, 2 do records = records .. sub(packed, stretches[i], stretches[i + 1] - 1) end
  return stretches, records
end

-- What follows the head of a partition, with records put back where they were found.
local function putRecords(packed, stretches, records)
  local sub, from = string.sub, 1
  if #stretches == 2 then return sub(packed, 41, stretches[1] - 1) .. records .. sub(packed, stretches[2]) end
  for i = 1, #stretches, 2 do
    local begins, ends = stretches[i], stretches[i + 1]
    packed = sub(packed, 1, begins - 1) .. sub(records, from, from + ends - begins - 1) .. sub(packed, ends)
    from = from + ends - begins
  end
  return sub(packed, 41)
end

-- When the last counter of a partition says nothing any more; infinite: never by itself. See endOf in partition.lua.
local function lastEnd(packed, directory, at)
  local last, unpack, ends = 0, struct.unpack
  for kind, step, ring in string.gmatch(directory, '(%u)(%d*),?(%d*) [^\n]*\n') do
    if kind == 'F' or kind == 'U' then
      ends, at = unpack('<d', packed, at + 8), at + 32
    elseif kind == 'S' then
      ends, at = (unpack('<d', packed, at) + ring) * step, at + 24 + 8 * ring
    elseif kind == 'C' and unpack('<d', packed, at) == 0 then
      ends, at = 0, at + 16
    else
      return math.huge
    end
    if ends > last then last = ends end
  end
  return last
end
