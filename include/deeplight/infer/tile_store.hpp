// Finished tiles on disk until their raster is whole: raw values and a journal, in one folder.
//
//   lock      who writes here
//   job.json  what is computed: everything that the values depend on
//   tiles     float32, one tile [bands, rows, columns] after another, NaN where there is no value
//   journal   one record of 64 bytes for each tile: where it lies, its checksum, its sums
//
// A record is written only after the values that it describes have reached the disk, so that what
// the journal states is there, whatever happened: a kill loses what was not recorded, a torn last
// record is dropped, a tile whose checksum does not hold is computed again. No torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "deeplight/core/config.hpp"
#include "deeplight/core/options.hpp"

namespace deeplight {

/// What the journal says of one tile.
struct TileRecord {
  std::int64_t index = 0;       ///< in the tile plan
  std::uint64_t offset = 0;     ///< of its values in `tiles`, bytes
  std::uint64_t bytes = 0;      ///< 0 for a tile without any value
  std::uint64_t checksum = 0;   ///< XXH64 of its values
  double light = 0.0;           ///< sum of the first band's values
  std::int64_t pixels = 0;      ///< with a value
  std::int64_t not_finite = 0;  ///< that the network gave as NaN or infinity
  std::uint64_t own_checksum = 0;
};

/// Sentences naming what differs between two descriptions of a job, at most eight; empty when
/// equal.
std::vector<std::string> job_differences(const Json& theirs, const Json& ours);

/// 64 hex digits that name a job.
std::string job_digest(const Json& job);

class TileStore {
 public:
  /// What to do with tiles that an interrupted run left.
  enum class Existing { refuse, resume, discard };

  /// Opens for writing; creates the folder where it is missing.
  /// @param folder  its parent must exist
  /// @param what    what the tiles are for, for messages, e.g. "output 'sr.tif'"
  /// @throws FileError        another process writes here; the disk refuses
  /// @throws InvalidArgument  `resume` of another job: names what differs; `refuse` and there are
  ///                          tiles
  TileStore(const std::filesystem::path& folder, const Json& job, const std::string& what,
            Existing existing);

  /// Opens what another run finished, only to read it.
  /// @throws FileError    missing, or still being written
  /// @throws FormatError  not such a folder
  static TileStore open(const std::filesystem::path& folder);

  ~TileStore();
  TileStore(TileStore&&) noexcept;
  TileStore& operator=(TileStore&&) noexcept;

  const std::filesystem::path& folder() const;
  const Json& job() const;
  /// Number of tiles recorded.
  std::int64_t size() const;
  /// Null when the tile is not there.
  const TileRecord* find(std::int64_t index) const;
  /// In the order of their indices.
  std::vector<TileRecord> records() const;

  /// Adds a tile; recorded by the next `commit`, which `append` calls about once a second, or as
  /// often as DEEPLIGHT_COMMIT_SECONDS says.
  /// @param record  its index and sums; the rest is filled in
  /// @throws FileError  the disk refused (full, failed); what was recorded stays
  void append(TileRecord record, std::span<const float> values);
  /// Values to disk, then their records, then those to disk.
  void commit();

  /// Reads `values.size()` values of a tile from its value `first` on.
  /// @throws FileError  the disk refused, or the file is shorter than recorded
  void read(const TileRecord& record, std::int64_t first, std::span<float> values) const;

  /// Whether the values still have the recorded checksum.
  bool intact(const TileRecord& record) const;

  /// Removes the folder.
  void remove();

 private:
  struct State;
  TileStore() = default;
  std::unique_ptr<State> state_;
};

/// Where the tiles of an output wait: a hidden folder beside it.
std::filesystem::path scratch_folder(const std::filesystem::path& output);

}  // namespace deeplight

#ifndef DEEPLIGHT_COMPILED
#include "deeplight/infer/tile_store_inl.hpp"
#endif
