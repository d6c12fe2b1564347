-- A part of other scripts: which history the partition's epochs are, as its header has it.

-- By epoch: up to which sequence it inherited the epochs before it.
local function read_epochs(header_key)
  local epochs = {}
  local fields = redis.call('HGETALL', header_key)
  for at = 1, #fields, 2 do
    local epoch = string.match(fields[at], '^epoch:(%d+)$')
    if epoch then epochs[tonumber(epoch)] = tonumber(string.match(fields[at + 1], '^%d+')) end
  end
  return epochs
end

-- Up to which sequence the history of a stamp is in the log's history: the stamp's own sequence, or less where a later
-- epoch began below it.
local function survived_up_to(epochs, epoch, sequence)
  for later, inherited in pairs(epochs) do
    if later > epoch and inherited < sequence then sequence = inherited end
  end
  return sequence
end

-- The epoch in which a sequence of the surviving history was written.
local function epoch_of(epochs, sequence)
  local found = 1
  for epoch, inherited in pairs(epochs) do
    if inherited < sequence and epoch > found then found = epoch end
  end
  return found
end
