-- One row per initial child protection conference: authority, child and date. Returns state it twice, with the referral
-- and with the section 47 enquiry; each date counts once, as the latest return that carries the referral or the enquiry
-- has it, with the latest referral that names it (definitions, section 3).

with
referrals as (

    select * from {{ ref('int_referral_facts') }}
    where initial_conference_date is not null

),

enquiries as (

    select * from {{ ref('int_section47_facts') }}
    where conference_date is not null

),

referral_records as (

    select * from {{ ref('stg_cin__referrals') }}
    where initial_conference_date is not null

),

enquiry_records as (

    select * from {{ ref('stg_cin__section47') }}
    where conference_date is not null

),

dates_named as (

    select
        la_code,
        child_id,
        initial_conference_date as conference_date,
        referral_date,
        true as is_from_referral,
        false as is_from_section47
    from referrals

    union all

    select
        la_code,
        child_id,
        conference_date,
        referral_date,
        false as is_from_referral,
        true as is_from_section47
    from enquiries

),

conferences as (

    select
        la_code,
        child_id,
        conference_date,
        max(referral_date) as referral_date,
        bool_or(is_from_referral) as is_from_referral,
        bool_or(is_from_section47) as is_from_section47
    from dates_named
    group by la_code, child_id, conference_date

),

return_years_that_name_a_date as (

    select
        child_id,
        initial_conference_date as conference_date,
        return_year
    from referral_records

    union

    select
        child_id,
        conference_date,
        return_year
    from enquiry_records

),

returns_counted as (

    select
        child_id,
        conference_date,
        cast(count(*) as integer) as n_returns,
        min(return_year) as first_return_year,
        max(return_year) as last_return_year
    from return_years_that_name_a_date
    group by child_id, conference_date

),

final as (

    select
        {{ spell_id('conferences.child_id', 'conferences.conference_date') }} as initial_conference_id,
        conferences.la_code,
        conferences.child_id,
        conferences.conference_date,
        {{ spell_id('conferences.child_id', 'conferences.referral_date') }} as referral_id,
        conferences.referral_date,
        conferences.is_from_referral,
        conferences.is_from_section47,
        conferences.conference_date < conferences.referral_date as is_before_referral,
        returns_counted.n_returns,
        returns_counted.first_return_year,
        returns_counted.last_return_year
    from conferences
    inner join returns_counted
        on
            conferences.child_id = returns_counted.child_id
            and conferences.conference_date = returns_counted.conference_date

)

select * from final
