// A shared handle to a module, constructible from an options aggregate with designated
// initialisers: DeepLightSR net({.scale = 8, .guides = {{"dem", 1}}}). LibTorch's own ModuleHolder
// forwards its arguments and so cannot take a braced list.
#pragma once

#include <memory>
#include <utility>

namespace deeplight {

/// @tparam Module  a torch::nn::Module with a nested `Options` and a constructor taking it
template <class Module>
class Holder {
 public:
  using Options = typename Module::Options;
  using ContainedType = Module;

  explicit Holder(Options options = {}) : module_(std::make_shared<Module>(std::move(options))) {}
  explicit Holder(std::shared_ptr<Module> module) : module_(std::move(module)) {}

  Module* operator->() const { return module_.get(); }
  Module& operator*() const { return *module_; }
  const std::shared_ptr<Module>& ptr() const { return module_; }

  /// Calls forward.
  template <class... Inputs>
  auto operator()(Inputs&&... inputs) const {
    return module_->forward(std::forward<Inputs>(inputs)...);
  }

 private:
  std::shared_ptr<Module> module_;
};

}  // namespace deeplight
