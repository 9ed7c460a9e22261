#include "deeplight/models/deeplight_sr.hpp"
#include "deeplight/models/guide_checks_inl.hpp"
#include "deeplight/models/load_inl.hpp"
#include "deeplight/models/mocolsk_net_inl.hpp"
#include "deeplight/models/registry_inl.hpp"

namespace deeplight {

template class GuidedSuperResolutionImpl<nn::CalibrationAwareAlignment, nn::AuxiliaryToMainFusion,
                                         nn::AuxiliaryEmbeddedRefinement>;

}  // namespace deeplight
