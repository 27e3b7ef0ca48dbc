-- One row per authority, return year and check of child protection and child in need plans, by the last return that
-- carries them; what is compared within a return (plan with its referral, review with its plan) by that return
-- (docs/data_quality.md).

with
cp_plans as (

    select * from {{ ref('int_cp_plan_spells') }}

),

cin_plans as (

    select * from {{ ref('int_cin_plan_spells') }}

),

last_returns as (

    select * from {{ ref('int_quality_last_returns') }}
    where collection = 'cin'

),

plan_records as (

    select * from {{ ref('stg_cin__cp_plans') }}

),

review_records as (

    select * from {{ ref('stg_cin__cp_reviews') }}

),

referral_records as (

    select * from {{ ref('stg_cin__referrals') }}

),

{% for kind in ['cp', 'cin'] %}
counts_of_{{ kind }}_plans as (

    select
        spells.la_code,
        spells.last_return_year as return_year,
        count(*) as n_plans,
        {{ count_where('spells.is_end_before_start') }} as n_end_before_start,
        {{ count_where('spells.is_inside_open_plan') if kind == 'cp' else 0 }} as n_inside_open_plan,
        {{ count_where('spells.is_open_at_data_end and spells.last_return_year < last_returns.last_landed_year') }}
            as n_dropped,
        {{ count_comparable('spells.is_end_conflicting') }} as n_comparable,
        {{ count_where('spells.is_end_conflicting') }} as n_conflicting
    from {{ kind }}_plans as spells
    left join last_returns on spells.la_code = last_returns.la_code
    group by spells.la_code, spells.last_return_year

),

{% endfor %}
counts_of_plan_records as (

    select
        plan_records.la_code,
        plan_records.return_year,
        count(*) as n_records,
        {{ count_where('plan_records.plan_start < referral_records.referral_date') }} as n_before_referral
    from plan_records
    inner join referral_records
        on
            plan_records.return_id = referral_records.return_id
            and plan_records.child_no = referral_records.child_no
            and plan_records.referral_no = referral_records.referral_no
    group by plan_records.la_code, plan_records.return_year

),

counts_of_review_records as (

    select
        review_records.la_code,
        review_records.return_year,
        count(*) as n_records,
        {{ count_where(
            'review_records.review_date < plan_records.plan_start or review_records.review_date > plan_records.plan_end'
        ) }} as n_outside_plan
    from review_records
    inner join plan_records
        on
            review_records.return_id = plan_records.return_id
            and review_records.child_no = plan_records.child_no
            and review_records.referral_no = plan_records.referral_no
            and review_records.record_no = plan_records.record_no
    group by review_records.la_code, review_records.return_year

),

all_checks as (

    {{ checks_from('counts_of_cp_plans', [
        ('plan_end_before_start', 'n_plans', 'n_end_before_start'),
        ('plan_inside_open_plan', 'n_plans', 'n_inside_open_plan'),
        ('open_plan_dropped_by_later_return', 'n_plans', 'n_dropped'),
        ('conflicting_plan_end', 'n_comparable', 'n_conflicting'),
    ]) }}
    union all
    {{ checks_from('counts_of_cin_plans', [
        ('cin_plan_end_before_start', 'n_plans', 'n_end_before_start'),
        ('open_cin_plan_dropped_by_later_return', 'n_plans', 'n_dropped'),
        ('conflicting_cin_plan_end', 'n_comparable', 'n_conflicting'),
    ]) }}
    union all
    {{ checks_from('counts_of_plan_records', [
        ('plan_before_referral', 'n_records', 'n_before_referral'),
    ]) }}
    union all
    {{ checks_from('counts_of_review_records', [
        ('review_outside_plan', 'n_records', 'n_outside_plan'),
    ]) }}

),

final as (

    select * from all_checks

)

select * from final
