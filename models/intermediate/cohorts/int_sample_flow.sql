-- One row per programme, outcome by first referral, authority and step: children, from all who were referred to those
-- fully observed, with the reason of each exclusion (definitions, section 4). In each stage the children kept and
-- excluded add up to those kept in the stage before.

with
referrals as (

    select * from {{ ref('int_programme_referrals') }}

),

windows as (

    select * from {{ ref('int_outcome_windows') }}

),

outcomes as (

    select * from {{ ref('outcomes') }}
    where status = 'evaluated' and index_event = 'first_referral'

),

programmes as (

    select * from {{ ref('programmes') }}

),

authorities as (

    select * from {{ ref('local_authorities') }}

),

children as (

    select
        programme,
        la_code,
        child_id,
        bool_or(is_in_trial_period) as is_in_trial_period,
        bool_or(is_in_trial_period and is_age_known) as is_age_known,
        bool_or(is_in_trial_period and is_eligible_age) as is_eligible_age
    from referrals
    group by programme, la_code, child_id

),

children_by_outcome as (

    select
        outcomes.programme,
        outcomes.outcome,
        children.la_code,
        count(*) as n_found,
        sum(case when not children.is_in_trial_period then 1 else 0 end) as n_not_in_trial_period,
        sum(case when children.is_in_trial_period and not children.is_age_known then 1 else 0 end) as n_age_not_known,
        sum(
            case
                when children.is_age_known and (not children.is_eligible_age or windows.child_id is null) then 1
                else 0
            end
        ) as n_not_at_eligible_age,
        sum(case when windows.child_id is not null then 1 else 0 end) as n_in_cohort,
        sum(
            case when not windows.is_fully_observed and windows.window_end > programmes.data_span_end then 1 else 0 end
        ) as n_after_data_span,
        sum(
            case when not windows.is_fully_observed and windows.window_end <= programmes.data_span_end then 1 else 0 end
        ) as n_return_missing,
        sum(case when windows.is_fully_observed then 1 else 0 end) as n_fully_observed
    from outcomes
    inner join programmes on outcomes.programme = programmes.programme
    inner join children on outcomes.programme = children.programme
    left join windows
        on
            outcomes.programme = windows.programme
            and outcomes.outcome = windows.outcome
            and children.child_id = windows.child_id
    group by outcomes.programme, outcomes.outcome, children.la_code

),

every_authority as (

    select
        outcomes.programme,
        outcomes.outcome,
        authorities.la_code,
        coalesce(children_by_outcome.n_found, 0) as n_found,
        coalesce(children_by_outcome.n_not_in_trial_period, 0) as n_not_in_trial_period,
        coalesce(children_by_outcome.n_age_not_known, 0) as n_age_not_known,
        coalesce(children_by_outcome.n_not_at_eligible_age, 0) as n_not_at_eligible_age,
        coalesce(children_by_outcome.n_in_cohort, 0) as n_in_cohort,
        coalesce(children_by_outcome.n_after_data_span, 0) as n_after_data_span,
        coalesce(children_by_outcome.n_return_missing, 0) as n_return_missing,
        coalesce(children_by_outcome.n_fully_observed, 0) as n_fully_observed
    from outcomes
    cross join authorities
    left join children_by_outcome
        on
            outcomes.programme = children_by_outcome.programme
            and outcomes.outcome = children_by_outcome.outcome
            and authorities.la_code = children_by_outcome.la_code

),

steps as (

    {% set stages = [
        ('referred', 'children with a referral in a landed return', false, 'n_found'),
        ('referred in the trial period', 'no referral in the trial period', true, 'n_not_in_trial_period'),
        ('referred in the trial period', 'kept', false, 'n_found - n_not_in_trial_period'),
        ('at an eligible age', 'month of birth not known', true, 'n_age_not_known'),
        ('at an eligible age', 'no referral at an eligible age', true, 'n_not_at_eligible_age'),
        ('at an eligible age', 'kept: the cohort', false, 'n_in_cohort'),
        ('fully observed', 'the window runs past the end of the data', true, 'n_after_data_span'),
        ('fully observed', 'a return that the outcome needs is missing', true, 'n_return_missing'),
        ('fully observed', 'kept: the sample', false, 'n_fully_observed'),
    ] %}
    {% for step, reason, is_exclusion, n_children in stages %}
    select
        programme,
        outcome,
        la_code,
        cast({{ loop.index }} as integer) as step_no,
        '{{ step }}' as step,
        '{{ reason }}' as reason,
        {{ is_exclusion | lower }} as is_exclusion,
        cast({{ n_children }} as bigint) as n_children
    from every_authority
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

final as (

    select * from steps

)

select * from final
