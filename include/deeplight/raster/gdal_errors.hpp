// GDAL's messages of one scope and one thread, collected instead of printed.
//
// GDAL reports through a handler per thread, and some failures (a full disk while flushing) through
// nothing else. Every call into GDAL stands in such a scope.
#pragma once

#include <cpl_conv.h>
#include <cpl_error.h>
#include <gdal.h>

#include <cstring>
#include <mutex>
#include <string>

namespace deeplight {

/// While it lives, GDAL errors and warnings of this thread are collected here.
class GdalErrors {
 public:
  GdalErrors() {
    static std::once_flag once;
    std::call_once(once, [] { GDALAllRegister(); });
    CPLPushErrorHandlerEx(&GdalErrors::handle, this);
    if (++depth() == 1) {
      // Without it a JPEG cut short decodes to grey with a mere warning.
      CPLSetThreadLocalConfigOption("GDAL_ERROR_ON_LIBJPEG_WARNING", "TRUE");
      // Reading a .gz must not write beside it.
      CPLSetThreadLocalConfigOption("CPL_VSIL_GZIP_WRITE_PROPERTIES", "NO");
    }
  }
  ~GdalErrors() {
    if (--depth() == 0) {
      CPLSetThreadLocalConfigOption("GDAL_ERROR_ON_LIBJPEG_WARNING", nullptr);
      CPLSetThreadLocalConfigOption("CPL_VSIL_GZIP_WRITE_PROPERTIES", nullptr);
    }
    CPLPopErrorHandler();
    CPLErrorReset();
  }
  GdalErrors(const GdalErrors&) = delete;
  GdalErrors& operator=(const GdalErrors&) = delete;

  /// Whether an error (not only a warning) was reported since the last `clear`.
  bool failed() const { return !errors_.empty(); }
  /// The errors, or else the warnings, joined; "no details" when there are none.
  std::string text() const {
    if (!errors_.empty()) return errors_;
    return warnings_.empty() ? "no details" : warnings_;
  }
  void clear() {
    errors_.clear();
    warnings_.clear();
  }

 private:
  static int& depth() {
    thread_local int scopes = 0;
    return scopes;
  }

  static void CPL_STDCALL handle(CPLErr kind, CPLErrorNum, const char* message) {
    auto* self = static_cast<GdalErrors*>(CPLGetErrorHandlerUserData());
    if (self == nullptr || kind == CE_Debug || message == nullptr) return;
    // libtiff leaves out a tag that it could not read, nodata for one, with a mere warning.
    const bool lost = kind == CE_Warning && std::strstr(message, "IO error") != nullptr;
    std::string& all = kind >= CE_Failure || lost ? self->errors_ : self->warnings_;
    constexpr std::size_t enough = 1000;
    if (all.size() < enough && all.find(message) == std::string::npos) {
      all += (all.empty() ? "" : "; ") + std::string(message);
    }
  }

  std::string errors_;
  std::string warnings_;
};

}  // namespace deeplight
