// Definitions of tile_store.hpp.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "deeplight/core/atomic_file.hpp"
#include "deeplight/core/errors.hpp"
#include "deeplight/core/sha256.hpp"
#include "deeplight/core/xxhash64.hpp"
#include "deeplight/infer/owner_lock.hpp"
#include "deeplight/infer/raw_file.hpp"
#include "deeplight/infer/tile_store.hpp"

namespace deeplight {

static_assert(sizeof(TileRecord) == 64);

namespace detail {

inline std::uint64_t checksum_of(const TileRecord& record) {
  return xxhash64(
      std::as_bytes(std::span(&record, 1)).first(sizeof(record) - sizeof(record.own_checksum)), 1);
}

/// How long a finished tile waits at most until it is on the disk.
inline std::chrono::duration<double> commit_interval() {
  const char* text = std::getenv("DEEPLIGHT_COMMIT_SECONDS");
  char* end = nullptr;
  const double seconds = text == nullptr ? 1.0 : std::strtod(text, &end);
  const bool number = end != text && seconds >= 0.0 && seconds <= 3600.0;
  return std::chrono::duration<double>(number ? seconds : 1.0);
}

inline std::string short_text(const Json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.size() > 48) text = text.substr(0, 45) + "...";
  return text;
}

inline void collect_differences(const Json& theirs, const Json& ours, const std::string& name,
                                std::vector<std::string>& found) {
  constexpr std::size_t enough = 8;
  if (theirs == ours || found.size() >= enough) return;
  if (!theirs.is_object() || !ours.is_object()) {
    found.push_back(concat(name, " was ", short_text(theirs), ", is ", short_text(ours)));
    return;
  }
  const auto inner = [&](const std::string& key) { return name.empty() ? key : name + " " + key; };
  const Json nothing = "absent";
  for (const auto& [key, value] : theirs.items()) {
    collect_differences(value, ours.contains(key) ? ours.at(key) : nothing, inner(key), found);
  }
  for (const auto& [key, value] : ours.items()) {
    if (!theirs.contains(key)) collect_differences(nothing, value, inner(key), found);
  }
}

}  // namespace detail

DEEPLIGHT_INLINE std::vector<std::string> job_differences(const Json& theirs, const Json& ours) {
  std::vector<std::string> found;
  detail::collect_differences(theirs, ours, "", found);
  return found;
}

DEEPLIGHT_INLINE std::string job_digest(const Json& job) {
  const std::string text = nlohmann::json(job).dump();  // keys sorted
  return sha256_hex(std::as_bytes(std::span(text)));
}

DEEPLIGHT_INLINE std::filesystem::path scratch_folder(const std::filesystem::path& output) {
  return output.parent_path() / concat(".", output.filename().string(), ".deeplight");
}

struct TileStore::State {
  std::filesystem::path folder;
  std::string what;
  Json job;
  std::optional<OwnerLock> lock;
  RawFile tiles;
  RawFile journal;
  std::map<std::int64_t, TileRecord> records;
  std::vector<TileRecord> pending;
  std::uint64_t recorded = 0;     // whole records in the journal, bytes
  std::uint64_t end = 0;          // of the tiles, bytes
  std::uint64_t uncommitted = 0;  // bytes
  std::chrono::duration<double> interval = detail::commit_interval();
  std::chrono::steady_clock::time_point committed = std::chrono::steady_clock::now();

  std::filesystem::path file(const char* name) const { return folder / name; }

  /// Records that hold, in the journal's order; stops at the first that is torn.
  std::vector<TileRecord> read_journal() const {
    const std::uint64_t size = journal.size(), available = tiles.size();
    std::vector<TileRecord> read(size / sizeof(TileRecord));
    if (read.empty()) return read;
    journal.read(0, std::as_writable_bytes(std::span(read)));
    const auto torn = std::find_if(read.begin(), read.end(), [&](const TileRecord& record) {
      return record.own_checksum != detail::checksum_of(record) || record.offset > available ||
             record.bytes > available - record.offset;
    });
    read.erase(torn, read.end());
    return read;
  }

  void start_anew() {
    tiles.truncate(0);
    journal.truncate(0);
    write_file_atomically(file("job.json").string(), job.dump(2) + "\n");
  }
};

DEEPLIGHT_INLINE TileStore::TileStore(const std::filesystem::path& folder, const Json& job,
                                      const std::string& what, Existing existing)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.folder = folder;
  state.what = what;
  state.job = job;
  for (int attempt = 0; !state.lock; ++attempt) {
    std::error_code error;
    std::filesystem::create_directory(folder, error);
    require<FileError>(std::filesystem::is_directory(folder), "the folder '", folder.string(),
                       "' for the tiles of ", what, " cannot be created: ", error.message());
    try {
      state.lock.emplace(folder / "lock", what);
    } catch (const FileError&) {
      // The owner may have finished and removed the folder just now.
      if (attempt >= 3 || std::filesystem::exists(folder, error)) throw;
    }
  }
  state.tiles = RawFile(state.file("tiles"), RawFile::Mode::write);
  state.journal = RawFile(state.file("journal"), RawFile::Mode::write);
  std::error_code error;
  const bool described = std::filesystem::exists(state.file("job.json"), error);
  const std::vector<TileRecord> found =
      described ? state.read_journal() : std::vector<TileRecord>{};
  if (found.empty() || existing == Existing::discard) {
    state.start_anew();
    return;
  }
  require(existing == Existing::resume, "an interrupted run left ", found.size(),
          " finished tiles of ", what, " in '", folder.string(),
          "': resume it (--resume), or overwrite to start anew");
  const Json theirs = Json::parse(read_text_file(state.file("job.json").string(), 1 << 24), nullptr,
                                  /*allow_exceptions=*/false);
  const std::vector<std::string> different = job_differences(theirs, job);
  require(different.empty(), what, " cannot be resumed, the tiles in '", folder.string(),
          "' are of another job: ", joined(different), "; overwrite to start anew");
  std::vector<TileRecord> good;
  for (const TileRecord& record : found) {
    if (intact(record)) good.push_back(record);
  }
  if (good.size() * sizeof(TileRecord) != state.journal.size()) {
    const std::span<const std::byte> bytes = std::as_bytes(std::span(good));
    write_file_atomically(state.file("journal").string(), std::span(&bytes, 1));
    state.journal = RawFile(state.file("journal"), RawFile::Mode::write);
  }
  for (const TileRecord& record : good) {
    state.records[record.index] = record;
    state.end = std::max(state.end, record.offset + record.bytes);
  }
  state.tiles.truncate(state.end);
  state.recorded = good.size() * sizeof(TileRecord);
}

DEEPLIGHT_INLINE TileStore TileStore::open(const std::filesystem::path& folder) {
  TileStore store;
  store.state_ = std::make_unique<State>();
  State& state = *store.state_;
  state.folder = folder;
  state.what = concat("'", folder.string(), "'");
  std::error_code error;
  require<FileError>(std::filesystem::is_directory(folder, error), "the folder of tiles '",
                     folder.string(), "' does not exist");
  state.job = Json::parse(read_text_file(state.file("job.json").string(), 1 << 24), nullptr,
                          /*allow_exceptions=*/false);
  require<FormatError>(state.job.is_object(), "'", state.file("job.json").string(),
                       "' is damaged: it holds no JSON object");
  state.lock.emplace(folder / "lock", state.what);
  state.tiles = RawFile(state.file("tiles"), RawFile::Mode::read);
  state.journal = RawFile(state.file("journal"), RawFile::Mode::read);
  for (const TileRecord& record : state.read_journal()) state.records[record.index] = record;
  return store;
}

DEEPLIGHT_INLINE TileStore::~TileStore() = default;
DEEPLIGHT_INLINE TileStore::TileStore(TileStore&&) noexcept = default;
DEEPLIGHT_INLINE TileStore& TileStore::operator=(TileStore&&) noexcept = default;

DEEPLIGHT_INLINE const std::filesystem::path& TileStore::folder() const {
  return state_->folder;
}
DEEPLIGHT_INLINE const Json& TileStore::job() const {
  return state_->job;
}
DEEPLIGHT_INLINE std::int64_t TileStore::size() const {
  return static_cast<std::int64_t>(state_->records.size());
}

DEEPLIGHT_INLINE const TileRecord* TileStore::find(std::int64_t index) const {
  const auto found = state_->records.find(index);
  return found == state_->records.end() ? nullptr : &found->second;
}

DEEPLIGHT_INLINE std::vector<TileRecord> TileStore::records() const {
  std::vector<TileRecord> all;
  for (const auto& [index, record] : state_->records) all.push_back(record);
  return all;
}

DEEPLIGHT_INLINE void TileStore::append(TileRecord record, std::span<const float> values) {
  State& state = *state_;
  const std::span<const std::byte> bytes = std::as_bytes(values);
  record.offset = state.end;
  record.bytes = bytes.size();
  record.checksum = xxhash64(bytes);
  record.own_checksum = detail::checksum_of(record);
  state.tiles.write(state.end, bytes);
  state.end += bytes.size();
  state.uncommitted += bytes.size();
  state.records[record.index] = record;
  state.pending.push_back(record);
  constexpr std::uint64_t much = std::uint64_t{64} << 20;
  const auto age = std::chrono::steady_clock::now() - state.committed;
  if (state.uncommitted >= much || age >= state.interval) commit();
}

DEEPLIGHT_INLINE void TileStore::commit() {
  State& state = *state_;
  if (!state.pending.empty()) {
    state.tiles.flush();
    const std::span<const std::byte> bytes = std::as_bytes(std::span(state.pending));
    // Not at the file's end: a full disk may have left half a record there.
    state.journal.write(state.recorded, bytes);
    state.journal.flush();
    state.recorded += bytes.size();
    state.pending.clear();
  }
  state.uncommitted = 0;
  state.committed = std::chrono::steady_clock::now();
}

DEEPLIGHT_INLINE void TileStore::read(const TileRecord& record, std::int64_t first,
                                      std::span<float> values) const {
  state_->tiles.read(record.offset + static_cast<std::uint64_t>(first) * sizeof(float),
                     std::as_writable_bytes(values));
}

DEEPLIGHT_INLINE bool TileStore::intact(const TileRecord& record) const {
  std::vector<std::byte> bytes(record.bytes);
  state_->tiles.read(record.offset, bytes);
  return xxhash64(bytes) == record.checksum;
}

DEEPLIGHT_INLINE void TileStore::remove() {
  // Under the lock until nothing but the lock is left. Whoever takes the folder over then has a
  // lock of its own in it, so that the folder stays. A run that is killed in between leaves a
  // folder without description, in which the next one starts anew.
  std::error_code error;
  std::vector<std::filesystem::path> files{state_->file("job.json")};
  for (const auto& entry : std::filesystem::directory_iterator(state_->folder, error)) {
    if (entry.path().filename() != "lock") files.push_back(entry.path());
  }
  files.push_back(state_->file("lock"));
  for (const std::filesystem::path& file : files) std::filesystem::remove(file, error);
  std::filesystem::remove(state_->folder, error);
}

}  // namespace deeplight
