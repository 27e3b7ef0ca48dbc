-- Nothing is lost and nothing made up: the referral dates of the landed records are those of the spells
-- (definitions, section 3).

with
records as (

    select distinct
        la_code,
        child_id,
        referral_date
    from {{ ref('stg_cin__referrals') }}

),

spells as (

    select
        la_code,
        child_id,
        referral_date
    from {{ ref('int_referral_spells') }}

)

select
    records.child_id as child_in_records,
    spells.child_id as child_in_spells,
    coalesce(records.referral_date, spells.referral_date) as referral_date
from records
full outer join spells
    on
        records.la_code = spells.la_code
        and records.child_id = spells.child_id
        and records.referral_date = spells.referral_date
where records.child_id is null or spells.child_id is null
