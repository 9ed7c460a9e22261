// Atomic files and SHA-256.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>

#include "deeplight/core/atomic_file.hpp"
#include "deeplight/core/errors.hpp"
#include "deeplight/core/sha256.hpp"
#include "temporary_folder.hpp"

#ifndef _WIN32
#include <sys/resource.h>

#include <csignal>
#endif

namespace fs = std::filesystem;

namespace {
std::string hash_of(const std::string& text) {
  return deeplight::sha256_hex(std::as_bytes(std::span(text)));
}
std::ptrdiff_t entries(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}
}  // namespace

TEST_CASE("SHA-256 of the published examples (FIPS 180-4, NIST CAVP)") {
  CHECK(hash_of("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hash_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hash_of(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("a file is replaced whole and leaves no temporary file") {
  const deeplight::testing::TemporaryFolder folder;
  const std::string path = folder / "a.txt";
  deeplight::write_file_atomically(path, std::string("first"));
  CHECK(deeplight::read_text_file(path, 100) == "first");
  deeplight::write_file_atomically(path, std::string("second, longer"));
  CHECK(deeplight::read_text_file(path, 100) == "second, longer");
  deeplight::write_file_atomically(path, std::string());
  CHECK(deeplight::read_text_file(path, 100).empty());
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("writing where it cannot be names the path and leaves nothing") {
  const deeplight::testing::TemporaryFolder folder;
  const std::string path = folder / "missing/a.txt";
  CHECK_THROWS_WITH_AS(deeplight::write_file_atomically(path, std::string("x")),
                       doctest::Contains("does not exist"), deeplight::FileError);
  fs::create_directory(folder / "taken");
  CHECK_THROWS_WITH_AS(deeplight::write_file_atomically(folder / "taken", std::string("x")),
                       doctest::Contains("it is a folder"), deeplight::FileError);
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("reading refuses missing files, folders and files above the limit") {
  const deeplight::testing::TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(deeplight::read_text_file(folder / "none", 9), doctest::Contains("no such"),
                       deeplight::FileError);
  CHECK_THROWS_WITH_AS(deeplight::read_text_file(folder.path().string(), 9),
                       doctest::Contains("not a regular file"), deeplight::FileError);
  deeplight::write_file_atomically(folder / "ten", std::string(10, 'x'));
  CHECK_THROWS_WITH_AS(deeplight::read_text_file(folder / "ten", 9),
                       doctest::Contains("larger than 9"), deeplight::FormatError);
  CHECK(deeplight::read_text_file(folder / "ten", 10).size() == 10);
}

#ifndef _WIN32
TEST_CASE("a disk that is full leaves the old file and no temporary one") {
  const deeplight::testing::TemporaryFolder folder;
  const std::string path = folder / "a";
  deeplight::write_file_atomically(path, std::string("old"));
  // A limit on file size fails the write as a full disk does, at any byte.
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const std::size_t room : {0, 1, 4095, 4096, 99999}) {
    CAPTURE(room);
    const rlimit limit{room, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK_THROWS_WITH_AS(deeplight::write_file_atomically(path, std::string(100000, 'x')),
                         doctest::Contains("cannot write"), deeplight::FileError);
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(deeplight::read_text_file(path, 10) == "old");
  CHECK(entries(folder.path()) == 1);
}
#endif
