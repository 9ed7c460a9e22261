// A folder whose files fail on demand: GDAL's file access to it goes through a virtual file system
// of ours that passes everything on to the real files, except the N-th call of one kind.
//
// GDAL takes any prefix for a plug-in, also that of a real folder, so that std::filesystem and GDAL
// see the same files under the same names.
#pragma once

#include <cpl_string.h>
#include <cpl_vsi.h>
#include <gdal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>

#include "raster/test_rasters.hpp"

namespace deeplight::test {

enum class Fault { none, open, read, write, flush, truncate, close };

/// The calls that GDAL makes to the folder, and which of them fails.
class FaultyFiles {
 public:
  /// The folder, empty; one per process, since GDAL keeps a handler until the process ends.
  static FaultyFiles& instance() {
    static FaultyFiles files;
    return files;
  }

  const std::filesystem::path& path() const { return folder_.path(); }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }
  std::size_t files() const { return folder_.files(); }

  /// The N-th call of the kind fails (from 1), and with `lasting` each later one: a full disk.
  void arm(Fault kind, std::int64_t nth, bool lasting = false) {
    kind_ = kind;
    nth_ = nth;
    lasting_ = lasting;
    for (auto& calls : calls_) calls = 0;
    injected_ = 0;
  }
  void disarm() { arm(Fault::none, 0); }
  /// Calls of a kind since `arm`.
  std::int64_t calls(Fault kind) const { return calls_[static_cast<std::size_t>(kind)]; }
  /// Failures since `arm`.
  std::int64_t injected() const { return injected_; }

 private:
  struct Open {
    std::FILE* file = nullptr;
    bool failed = false;  // a failed read counts as the end: GDAL asks
    long last_start = 0;  // of the last write, which a failing flush or close loses
    std::size_t last_bytes = 0;

    void lose_last_write() {
      const std::string zeros(last_bytes, '\0');
      std::fseek(file, last_start, SEEK_SET);
      std::fwrite(zeros.data(), 1, zeros.size(), file);
    }
  };

  FaultyFiles() {
    GDALAllRegister();
    VSIFilesystemPluginCallbacksStruct* calls = VSIAllocFilesystemPluginCallbacksStruct();
    calls->pUserData = this;
    calls->stat = [](void* self, const char* name, VSIStatBufL* status, int) {
      return ::stat64(files(self).real(name).c_str(), status);
    };
    calls->unlink = [](void* self, const char* name) {
      return ::unlink(files(self).real(name).c_str());
    };
    calls->rename = [](void* self, const char* from, const char* to) {
      return std::rename(files(self).real(from).c_str(), files(self).real(to).c_str());
    };
    calls->read_dir = [](void* self, const char* name, int) -> char** {
      CPLStringList list;
      std::error_code ignored;
      for (const auto& entry :
           std::filesystem::directory_iterator(files(self).real(name), ignored)) {
        list.AddString(entry.path().filename().c_str());
      }
      return list.StealList();
    };
    calls->open = [](void* self, const char* name, const char* access) -> void* {
      if (files(self).fails(Fault::open)) {
        errno = EIO;
        return nullptr;
      }
      std::FILE* file = std::fopen(files(self).real(name).c_str(), access);
      if (file == nullptr) return nullptr;
      std::setvbuf(file, nullptr, _IONBF, 0);
      return new Open{file};
    };
    calls->tell = [](void* open) {
      return static_cast<vsi_l_offset>(std::ftell(handle(open).file));
    };
    calls->seek = [](void* open, vsi_l_offset offset, int whence) {
      handle(open).failed = false;
      return std::fseek(handle(open).file, static_cast<long>(offset), whence);
    };
    calls->eof = [](void* open) { return handle(open).failed ? 1 : std::feof(handle(open).file); };
    calls->read = [](void* open, void* buffer, std::size_t size, std::size_t count) {
      if (instance().fails(Fault::read)) {
        handle(open).failed = true;
        errno = EIO;
        return std::size_t{0};
      }
      return std::fread(buffer, size, count, handle(open).file);
    };
    calls->write = [](void* open, const void* buffer, std::size_t size, std::size_t count) {
      if (instance().fails(Fault::write)) {
        errno = ENOSPC;
        return std::size_t{0};
      }
      handle(open).last_start = std::ftell(handle(open).file);
      handle(open).last_bytes = size * count;
      return std::fwrite(buffer, size, count, handle(open).file);
    };
    calls->flush = [](void* open) {
      if (!instance().fails(Fault::flush)) return 0;
      handle(open).lose_last_write();
      errno = EIO;
      return -1;
    };
    calls->truncate = [](void* open, vsi_l_offset size) {
      if (instance().fails(Fault::truncate)) {
        errno = ENOSPC;
        return -1;
      }
      return ::ftruncate(::fileno(handle(open).file), static_cast<off_t>(size));
    };
    calls->close = [](void* open) {
      const bool fails = instance().fails(Fault::close);
      if (fails) handle(open).lose_last_write();
      const int result = std::fclose(handle(open).file);
      delete static_cast<Open*>(open);
      if (!fails) return result;
      errno = EIO;
      return -1;
    };
    VSIInstallPluginHandler(prefix_.c_str(), calls);
    VSIFreeFilesystemPluginCallbacksStruct(calls);
  }

  static FaultyFiles& files(void* self) { return *static_cast<FaultyFiles*>(self); }
  static Open& handle(void* open) { return *static_cast<Open*>(open); }

  std::string real(const char* name) const {
    const std::string text = name;
    const std::string root = folder_.path().string();
    return text.starts_with(root) ? text : root + "/" + text;
  }

  bool fails(Fault kind) {
    const std::int64_t call = ++calls_[static_cast<std::size_t>(kind)];
    if (kind != kind_ || (lasting_ ? call < nth_ : call != nth_)) return false;
    ++injected_;
    return true;
  }

  TemporaryFolder folder_;
  std::string prefix_ = folder_.path().string() + "/";  // GDAL keeps the pointer
  Fault kind_ = Fault::none;
  std::int64_t nth_ = 0;
  bool lasting_ = false;
  std::atomic<std::int64_t> calls_[7]{};
  std::atomic<std::int64_t> injected_{0};
};

}  // namespace deeplight::test
