// Random I/O faults, damaged rasters and address-space limits, as many as asked for; totals are
// kept by scripts/soak.py.
//
//   raster_soak faults|damage|memory COUNT SEED
//
// prints one line of JSON. Each batch runs in a process of its own, so that a crash is counted and
// not the end; its seed is printed on standard error then.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>

#include "raster/fault_cases.hpp"

using namespace deeplight;
using namespace deeplight::test;

namespace {

using Random = std::mt19937_64;

constexpr int batch_size = 50;

ReadCase random_case(Random& random) {
  static const std::vector<std::vector<const char*>> layouts = {
      {"TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32"},
      {"TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=48", "INTERLEAVE=BAND"},
      {"BLOCKYSIZE=8"},
      {"BLOCKYSIZE=1", "BIGTIFF=YES"},
      {"TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64", "SPARSE_OK=TRUE", "ENDIANNESS=BIG"}};
  static const std::vector<std::vector<const char*>> codecs = {
      {}, {"COMPRESS=DEFLATE", "PREDICTOR=3"}, {"COMPRESS=LZW"}, {"COMPRESS=ZSTD", "PREDICTOR=2"}};
  ReadCase kind;
  kind.creation = layouts[random() % layouts.size()];
  const auto& codec = codecs[random() % codecs.size()];
  kind.creation.insert(kind.creation.end(), codec.begin(), codec.end());
  kind.mask = random() % 3 == 0;
  return kind;
}

std::int64_t one_of(Random& random, std::int64_t calls) {
  return 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(calls));
}

FaultCounts faults(Random& random) {
  FaultyFiles& files = FaultyFiles::instance();
  FaultCounts counts;
  if (random() % 2 == 0) {
    const std::filesystem::path path = files / "input.tif";
    files.disarm();
    make_case(path, random_case(random));
    files.disarm();
    const Block expected = read_in_pieces(path);
    const std::array kinds{Fault::open, Fault::read, Fault::read, Fault::read, Fault::close};
    std::array<std::int64_t, 7> calls{};
    for (const Fault kind : kinds) calls[static_cast<std::size_t>(kind)] = files.calls(kind);
    for (int round = 0; round < batch_size; ++round) {
      const Fault fault = kinds[random() % kinds.size()];
      files.arm(fault, one_of(random, calls[static_cast<std::size_t>(fault)]), random() % 3 == 0);
      count_outcome(counts, "input.tif",
                    [&] { return same_block(read_in_pieces(path), expected); });
    }
    files.disarm();
    return counts;
  }
  const std::vector<WriteCase> kinds = write_cases();
  FaultyWriting writing(kinds[random() % kinds.size()]);
  while (counts.injected < batch_size) {
    const Fault fault = write_faults[random() % write_faults.size()];
    if (writing.calls(fault) == 0) continue;
    writing.run(fault, one_of(random, writing.calls(fault)), random() % 3 == 0, counts);
  }
  return counts;
}

FaultCounts damaged_rasters(Random& random) {
  const TemporaryFolder folder;
  make_case(folder / "whole.tif", random_case(random));
  std::string name = "whole.tif", copy = "damaged.tif";
  const auto kind = random() % 8;
  if (kind < 2) {
    const char* driver = kind == 0 ? "PNG" : "netCDF";
    name = kind == 0 ? "whole.png" : "whole.nc";
    copy = kind == 0 ? "damaged.png" : "damaged.nc";
    const GdalErrors quiet;
    GDALDataset* source =
        GDALDataset::FromHandle(GDALOpen((folder / "whole.tif").c_str(), GA_ReadOnly));
    GDALDataset* made = GetGDALDriverManager()->GetDriverByName(driver)->CreateCopy(
        (folder / name).c_str(), source, FALSE, nullptr, nullptr, nullptr);
    if (made != nullptr) GDALClose(made);
    GDALClose(source);
  }
  return damage(folder / name, folder / copy, random, batch_size);
}

/// Reads and writes with less and less address space.
FaultCounts memory_limits(Random& random) {
  FaultCounts counts;
  const TemporaryFolder folder;
  make_raster(folder / "large.tif", {.rows = 1500,
                                     .columns = 1500,
                                     .bands = 4,
                                     .value = nullptr,
                                     .creation = {"SPARSE_OK=TRUE", "TILED=YES"}});
  RasterReader warm(folder / "large.tif");
  warm.read({0, 0, 8, 8});
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const auto used = static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
  const rlim_t limit = used + (rlim_t{1} << 20) + random() % (rlim_t{80} << 20);
  const rlimit bound{limit, limit};
  ::setrlimit(RLIMIT_AS, &bound);
  count_outcome(counts, "large.tif", [&] {
    const Block block = RasterReader(folder / "large.tif").read();
    return block.values(3, 1499, 1499) == 0;
  });
  return counts;
}

/// Runs one batch in a child; a crash gives counts with `untyped` of the whole batch.
bool in_child(FaultCounts (*batch)(Random&), std::uint64_t seed, FaultCounts& total) {
  int ends[2];
  if (::pipe(ends) != 0) return false;
  const pid_t child = ::fork();
  if (child == 0) {
    Random random(seed);
    FaultCounts counts;
    try {
      counts = batch(random);
    } catch (const std::exception& error) {
      std::cerr << "seed " << seed << ": " << error.what() << "\n";
      ::_exit(2);
    }
    const bool sent = ::write(ends[1], &counts, sizeof counts) == sizeof counts;
    FaultyFiles::instance().disarm();
    std::error_code ignored;
    std::filesystem::remove_all(FaultyFiles::instance().path(), ignored);
    ::_exit(sent ? 0 : 2);
  }
  ::close(ends[1]);
  FaultCounts counts;
  const bool whole = ::read(ends[0], &counts, sizeof counts) == sizeof counts;
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (whole) total += counts;
  if (!whole) std::cerr << "seed " << seed << " ended with status " << status << "\n";
  return whole;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  FaultCounts (*batch)(Random&) = mode == "faults"   ? &faults
                                  : mode == "damage" ? &damaged_rasters
                                  : mode == "memory" ? &memory_limits
                                                     : nullptr;
  if (batch == nullptr || argc != 4) {
    std::cerr << "usage: raster_soak faults|damage|memory COUNT SEED\n";
    return 2;
  }
  GDALAllRegister();
  const std::int64_t count = std::atoll(argv[2]);
  Random seeds(static_cast<std::uint64_t>(std::atoll(argv[3])));
  FaultCounts total;
  std::int64_t crashed = 0;
  while (total.injected < count && crashed < 100) {
    if (!in_child(batch, seeds(), total)) ++crashed;
  }
  std::cout << "{\"injected\": " << total.injected << ", \"refused\": " << total.refused
            << ", \"harmless\": " << total.harmless << ", \"silent\": " << total.silent
            << ", \"untyped\": " << total.untyped << ", \"leftovers\": " << total.leftovers
            << ", \"crashed\": " << crashed << "}\n";
  return total.silent + total.untyped + total.leftovers + crashed == 0 ? 0 : 1;
}
