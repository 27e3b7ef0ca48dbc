-- One row per section 47 enquiry: authority, child, referral date and enquiry start (definitions, section 3).

with
enquiries as (

    select * from {{ ref('int_section47_facts') }}
    where enquiry_start is not null

),

final as (

    select
        {{ spell_id('child_id', 'referral_date', 'enquiry_start') }} as section47_id,
        la_code,
        child_id,
        {{ spell_id('child_id', 'referral_date') }} as referral_id,
        referral_date,
        enquiry_start,
        conference_date,
        conference_target_date,
        is_conference_not_required,
        is_conference_date_conflicting,
        n_returns,
        first_return_year,
        last_return_year
    from enquiries

)

select * from final
