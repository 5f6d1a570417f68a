-- files.lua - where lencase's own files are, and a grate's script

local files = {}

--- The folder of the script that is run, scripts/ or share/lencase/: everything else is found from there.
files.here = "."

--- The folder of a build, from there.
---@return string
function files.build() return files.here .. "/../" .. (os.getenv "LENCASE_BUILD" or "build") end

---@param path string
---@return boolean
function files.is_there(path)
  local file = io.open(path)
  return file ~= nil and file:close()
end

--- A script's file: as it is named, or one of lencase's own.
---@param name string
---@return string path
function files.find_script(name)
  if name:find "/" or files.is_there(name) then return name end
  for _, folder in ipairs { "/../examples/", "/../share/lencase/examples/" } do
    local path = files.here .. folder .. name
    if files.is_there(path) then return path end
  end
  return name
end

--- Where one of lencase's libraries is; nil: nowhere.
---@param name string
---@return string? path
function files.library_path(name)
  for _, folder in ipairs { files.build(), files.here .. "/../lib" } do
    local path = folder .. "/" .. name
    if files.is_there(path) then return path end
  end
end

return files
