-- One row per referral record (CINdetails) of a Children in Need return; the same referral comes back in every return
-- that carries it.
-- Names, types and codes of raw.cin_referrals; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'cin_referrals') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        child_no,
        child_id,
        referral_no,
        referral_date,
        {{ code_or_null('referral_source') }} as referral_source,
        {{ code_or_null('primary_need_code') }} as primary_need,
        closure_date,
        {{ code_or_null('closure_reason') }} as closure_reason,
        initial_conference_date,
        is_nfa as is_nfa_at_referral
    from records

)

select * from final
