//! The corrected versions of the mistakes in `tests/ui`. That they compile is the test; the book
//! shows them beside the mistakes.

#![allow(dead_code, reason = "examples are read, not called")]

#[path = "../../ui/right/abort-of-reader.rs"]
mod abort_of_reader;
#[path = "../../ui/right/bad-backoff.rs"]
mod bad_backoff;
#[path = "../../ui/right/bad-duration.rs"]
mod bad_duration;
#[path = "../../ui/right/bad-intensity.rs"]
mod bad_intensity;
#[path = "../../ui/right/bad-name.rs"]
mod bad_name;
#[path = "../../ui/right/bad-role.rs"]
mod bad_role;
#[path = "../../ui/right/bad-site.rs"]
mod bad_site;
#[path = "../../ui/right/borrowed-argument.rs"]
mod borrowed_argument;
#[path = "../../ui/right/borrowed-reply.rs"]
mod borrowed_reply;
#[path = "../../ui/right/cannot-travel.rs"]
mod cannot_travel;
#[path = "../../ui/right/conditional-argument.rs"]
mod conditional_argument;
#[path = "../../ui/right/contract-item.rs"]
mod contract_item;
#[path = "../../ui/right/contract-kind.rs"]
mod contract_kind;
#[path = "../../ui/right/contract-options.rs"]
mod contract_options;
#[path = "../../ui/right/contract-receiver.rs"]
mod contract_receiver;
#[path = "../../ui/right/contract-types.rs"]
mod contract_types;
#[path = "../../ui/right/ctx-form.rs"]
mod ctx_form;
#[path = "../../ui/right/endless-call.rs"]
mod endless_call;
#[path = "../../ui/right/function-kind.rs"]
mod function_kind;
#[path = "../../ui/right/generic-definition.rs"]
mod generic_definition;
#[path = "../../ui/right/generic-handler.rs"]
mod generic_handler;
#[path = "../../ui/right/handler-receiver.rs"]
mod handler_receiver;
#[path = "../../ui/right/handler-without-self.rs"]
mod handler_without_self;
#[path = "../../ui/right/hook-form.rs"]
mod hook_form;
#[path = "../../ui/right/hook-options.rs"]
mod hook_options;
#[path = "../../ui/right/idempotent-and-once.rs"]
mod idempotent_and_once;
#[path = "../../ui/right/inbound-form.rs"]
mod inbound_form;
#[path = "../../ui/right/made-another-way.rs"]
mod made_another_way;
#[path = "../../ui/right/made-by-hand.rs"]
mod made_by_hand;
#[path = "../../ui/right/malformed-attribute.rs"]
mod malformed_attribute;
#[path = "../../ui/right/misplaced-ctx.rs"]
mod misplaced_ctx;
#[path = "../../ui/right/misplaced-hook.rs"]
mod misplaced_hook;
#[path = "../../ui/right/missing-derive.rs"]
mod missing_derive;
#[path = "../../ui/right/missing-handler.rs"]
mod missing_handler;
#[path = "../../ui/right/needs-key.rs"]
mod needs_key;
#[path = "../../ui/right/nested-stream.rs"]
mod nested_stream;
#[path = "../../ui/right/no-handlers.rs"]
mod no_handlers;
#[path = "../../ui/right/not-a-definition.rs"]
mod not_a_definition;
#[path = "../../ui/right/not-a-handler.rs"]
mod not_a_handler;
#[path = "../../ui/right/not-a-struct.rs"]
mod not_a_struct;
#[path = "../../ui/right/not-a-trait.rs"]
mod not_a_trait;
#[path = "../../ui/right/not-an-inherent-impl.rs"]
mod not_an_inherent_impl;
#[path = "../../ui/right/not-an-interface.rs"]
mod not_an_interface;
#[path = "../../ui/right/not-awaited.rs"]
mod not_awaited;
#[path = "../../ui/right/not-in-contract.rs"]
mod not_in_contract;
#[path = "../../ui/right/not-wire.rs"]
mod not_wire;
#[path = "../../ui/right/number-out-of-range.rs"]
mod number_out_of_range;
#[path = "../../ui/right/once-needs-persist.rs"]
mod once_needs_persist;
#[path = "../../ui/right/one-thread.rs"]
mod one_thread;
#[path = "../../ui/right/opaque-conflict.rs"]
mod opaque_conflict;
#[path = "../../ui/right/opaque-name.rs"]
mod opaque_name;
#[path = "../../ui/right/opaque-reply.rs"]
mod opaque_reply;
#[path = "../../ui/right/pattern-argument.rs"]
mod pattern_argument;
#[path = "../../ui/right/private-handler.rs"]
mod private_handler;
#[path = "../../ui/right/recursion-without-depth.rs"]
mod recursion_without_depth;
#[path = "../../ui/right/ref-for-type.rs"]
mod ref_for_type;
#[path = "../../ui/right/reserved-interface.rs"]
mod reserved_interface;
#[path = "../../ui/right/reserved-name.rs"]
mod reserved_name;
#[path = "../../ui/right/same-name.rs"]
mod same_name;
#[path = "../../ui/right/serde-attribute.rs"]
mod serde_attribute;
#[path = "../../ui/right/setting-twice.rs"]
mod setting_twice;
#[path = "../../ui/right/skip-with-options.rs"]
mod skip_with_options;
#[path = "../../ui/right/spawned-by-a-client.rs"]
mod spawned_by_a_client;
#[path = "../../ui/right/stated-by-contract.rs"]
mod stated_by_contract;
#[path = "../../ui/right/stateless-service.rs"]
mod stateless_service;
#[path = "../../ui/right/stray-handler.rs"]
mod stray_handler;
#[path = "../../ui/right/stream-borrows-self.rs"]
mod stream_borrows_self;
#[path = "../../ui/right/stream-in-loop.rs"]
mod stream_in_loop;
#[path = "../../ui/right/stream-without-item.rs"]
mod stream_without_item;
#[path = "../../ui/right/too-many-arguments.rs"]
mod too_many_arguments;
#[path = "../../ui/right/two-hooks.rs"]
mod two_hooks;
#[path = "../../ui/right/two-impls.rs"]
mod two_impls;
#[path = "../../ui/right/two-inbounds.rs"]
mod two_inbounds;
#[path = "../../ui/right/two-kinds.rs"]
mod two_kinds;
#[path = "../../ui/right/unknown-choice.rs"]
mod unknown_choice;
#[path = "../../ui/right/unknown-setting.rs"]
mod unknown_setting;
#[path = "../../ui/right/wire-borrows.rs"]
mod wire_borrows;
#[path = "../../ui/right/wire-union.rs"]
mod wire_union;
#[path = "../../ui/right/wrong-attribute.rs"]
mod wrong_attribute;
#[path = "../../ui/right/wrong-kind.rs"]
mod wrong_kind;
#[path = "../../ui/right/wrong-placement.rs"]
mod wrong_placement;
#[path = "../../ui/right/wrong-value.rs"]
mod wrong_value;
